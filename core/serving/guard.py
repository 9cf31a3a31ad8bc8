"""It knows when it doesn't know: three voices for an answer, sure, unsure and foreign.

A picture is foreign when it lies far from the cells that the model learnt from, in what the network sees of it and
in what it plainly looks like: the squared distance to the nearest class's mean, measured by the spread within the
classes (Lee et al. 2018, arXiv:1807.03888), of the embedding and of `core.serving.appearance`, each against its usual
size. The limit keeps a share of the val cells, 99 % by default. Everything that this needs is the `Guard`, a file of
less than 60 kB; it can be fitted from any arrays, so that a laboratory's profile can have one of its own.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from core.errors import HemaLensError
from core.evaluation.conformal import NOMINAL, class_thresholds, prediction_sets
from core.serving.appearance import KINDS, appearance, kinds
from core.serving.cloud import Cloud, fit_cloud

KEPT = 0.99  # share of val that isn't foreign

_VERSION = 1
_FIELDS = ("origin", "scale", "means", "directions", "gains")
# How far covariances are drawn towards independence at least, chosen on val and on strangers made of it: less, and a
# home cell that was saved as a JPEG again counts as foreign; more, and coarse strangers pass.
_SHRINK_EMBEDDING, _SHRINK_APPEARANCE = 0.01, 0.05


class BadGuard(HemaLensError):
    """A guard's file can't be read; the message says what to do."""


@dataclass(frozen=True)
class Guard:
    """What is needed to say how firmly an answer of C classes may be given.

    ``thresholds`` float32 (C,): from which probability on a class belongs into the short list, so that the list holds
    the right class of ``coverage`` of each class's cells (`core.evaluation.conformal`). ``embedding``: the cloud of
    the embedding; ``appearance``: those of all of `core.serving.appearance` (first) and of each of its kinds, {} where
    it was fitted without pictures. A picture whose strangeness (before division) is ``limit`` or more is foreign.
    """

    thresholds: np.ndarray
    coverage: float
    embedding: Cloud
    appearance: dict[str, Cloud]
    limit: float

    def strangeness(self, embeddings: np.ndarray, frames: np.ndarray | None = None) -> np.ndarray:
        """How far from the known cells pictures lie, float64 (N,): 1 or more is foreign.

        ``embeddings`` (N, K); ``frames`` uint8 (N, S, S, 3) of the size it was fitted on (not needed without
        ``appearance``).
        """
        return self._strangeness(embeddings, appearance(frames) if self.appearance else None)

    def _strangeness(self, embeddings: np.ndarray, looks: np.ndarray | None) -> np.ndarray:
        total = self.embedding.distances(embeddings).min(1)
        if self.appearance:
            total = total + self.appearance["all"].distances(looks).min(1)
        return np.sqrt(total) / self.limit

    def parts(self) -> tuple[dict[str, np.ndarray], str]:
        """All that it consists of, for a file that may hold more: arrays by name, and the rest as JSON."""
        arrays = {"thresholds": self.thresholds}
        facts = {"version": _VERSION, "coverage": self.coverage, "limit": self.limit, "clouds": {}}
        for name, cloud in {"embedding": self.embedding, **self.appearance}.items():
            for field in _FIELDS:
                arrays[f"{name}.{field}"] = np.ascontiguousarray(getattr(cloud, field))
            facts["clouds"][name] = {"rest": cloud.rest, "usual": cloud.usual}
        return arrays, json.dumps(facts)

    @staticmethod
    def from_parts(arrays: dict[str, np.ndarray], text: str) -> "Guard":
        """What `parts` gave. Raises whatever broken parts raise: ValueError, KeyError, TypeError."""
        facts = json.loads(text)
        if facts["version"] != _VERSION:
            raise ValueError(f"version {facts['version']}")
        clouds = {
            name: Cloud(
                *(arrays[f"{name}.{field}"] for field in _FIELDS),
                rest=float(numbers["rest"]),
                usual=float(numbers["usual"]),
            )
            for name, numbers in facts["clouds"].items()
        }
        embedding = clouds.pop("embedding")
        return Guard(arrays["thresholds"], float(facts["coverage"]), embedding, clouds, float(facts["limit"]))

    def save(self, path: Path) -> None:
        """Write it as one safetensors file, whole or not at all."""
        arrays, text = self.parts()
        temporary = path.with_suffix(".tmp")
        save_file(arrays, temporary, {"guard": text})
        temporary.chmod(0o644)  # safetensors leaves the file readable by its owner alone
        temporary.replace(path)

    @staticmethod
    def load(path: Path) -> "Guard":
        """Read what `save` wrote. Raises `BadGuard`."""
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
                return Guard.from_parts(arrays, file.metadata()["guard"])
        except Exception as error:  # safetensors raises a kind of its own that derives from Exception only
            raise BadGuard(
                f"{path} can't be read ({str(error).splitlines()[0] if str(error) else type(error).__name__}). "
                "Make it anew: python -m core guard RUN"
            ) from error


@dataclass(frozen=True)
class Voice:
    """How an answer may be said.

    ``kind`` 'sure': ``classes`` is the one; 'unsure': ``classes`` is the short list, likeliest first, at least the two
    likeliest; 'foreign': the picture does not look like the cells that the model knows, ``classes`` are the two
    nearest in the model's eyes, the nearest first. ``strangeness``: 1 or more is foreign, 0 where nothing could be
    measured. ``off``: which of 'colour', 'scale', 'texture' of a foreign picture are unusual, the most unusual first;
    () where none of them alone is.
    """

    kind: Literal["sure", "unsure", "foreign"]
    classes: tuple[int, ...]
    strangeness: float = 0.0
    off: tuple[str, ...] = ()


def voices(
    guard: Guard | None,
    probabilities: np.ndarray,
    embeddings: np.ndarray | None,
    frames: np.ndarray | None,
    sure_from: float,
) -> list[Voice]:
    """A voice for each of ``probabilities`` (N, C), ``embeddings`` (N, K) and ``frames`` uint8 (N, S, S, 3).

    ``sure_from``: the top probability from which an answer counts as sure. Without a ``guard`` or an embedding there
    are sure and unsure only, and the short list is the two likeliest.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    if guard is None or embeddings is None:
        return [_known(row, ranked, (), sure_from) for row, ranked in zip(probabilities, order, strict=True)]
    sets = prediction_sets(probabilities, guard.thresholds)
    looks, of = (appearance(frames), kinds(frames.shape[1])) if guard.appearance else (None, None)
    strangeness = guard._strangeness(embeddings, looks)
    found = []
    for i, (row, ranked) in enumerate(zip(probabilities, order, strict=True)):
        if strangeness[i] >= 1:
            off = _off(guard, looks[i : i + 1], of) if looks is not None else ()
            found.append(Voice("foreign", tuple(ranked[:2].tolist()), float(strangeness[i]), off))
        else:
            found.append(_known(row, ranked, np.flatnonzero(sets[i]), sure_from, float(strangeness[i])))
    return found


def _known(
    row: np.ndarray, ranked: np.ndarray, listed: Sequence[int], sure_from: float, strangeness: float = 0.0
) -> Voice:
    if row[ranked[0]] >= sure_from:
        return Voice("sure", (int(ranked[0]),), strangeness)
    kept = {*np.asarray(listed, int).tolist(), *ranked[:2].tolist()}
    return Voice("unsure", tuple(int(k) for k in ranked if k in kept), strangeness)


def _off(guard: Guard, looks: np.ndarray, of: np.ndarray) -> tuple[str, ...]:
    """The kinds of appearance in which ``looks`` (1, F), numbers ``of`` these kinds, are unusual by themselves."""
    far = {kind: float(guard.appearance[kind].distances(looks[:, of == kind]).min()) for kind in KINDS}
    return tuple(sorted((kind for kind in KINDS if far[kind] >= 1), key=lambda kind: -far[kind]))


def fit_guard(
    embeddings: np.ndarray,
    labels: np.ndarray,
    val_embeddings: np.ndarray,
    val_probabilities: np.ndarray,
    val_labels: np.ndarray,
    frames: np.ndarray | None = None,
    val_frames: np.ndarray | None = None,
    *,
    coverage: float = NOMINAL,
    kept: float = KEPT,
) -> Guard:
    """The guard of known cells: ``embeddings`` (M, K), ``labels`` int (M,), ``frames`` uint8 (M, S, S, 3) as framed.

    Val, cells that nothing was fitted on, sets the thresholds: of each class ``coverage`` get the right class into
    their list, and ``kept`` of all are not foreign. ``val_probabilities`` (V, C): the answers that lists must hold for.
    Classes may lack cells among ``labels``. Without ``frames`` (of both or of none)
    strangeness rests on the embedding alone.
    """
    embedding = _fitted(embeddings, labels, val_embeddings, _SHRINK_EMBEDDING, kept)
    total = embedding.distances(val_embeddings).min(1)
    clouds: dict[str, Cloud] = {}
    if frames is not None and val_frames is not None:
        looks, val_looks, of = appearance(frames), appearance(val_frames), kinds(frames.shape[1])
        for name, part in {"all": np.full(len(of), True), **{kind: of == kind for kind in KINDS}}.items():
            clouds[name] = _fitted(looks[:, part], labels, val_looks[:, part], _SHRINK_APPEARANCE, kept)
        total = total + clouds["all"].distances(val_looks).min(1)
    thresholds = class_thresholds(val_labels, val_probabilities, coverage).astype(np.float32)
    return Guard(np.nextafter(thresholds, np.float32(0)), coverage, embedding, clouds, _upper(np.sqrt(total), kept))


def _fitted(vectors: np.ndarray, labels: np.ndarray, val: np.ndarray, shrink: float, kept: float) -> Cloud:
    cloud = fit_cloud(vectors, labels, shrink)
    return replace(cloud, usual=_upper(cloud.distances(val).min(1), kept))


def _upper(values: np.ndarray, kept: float) -> float:
    """The limit that ``kept`` of ``values`` (N,), and of as many more like them, stay under: a conformal quantile."""
    ranked = np.sort(values)
    place = int(np.ceil(kept * (len(ranked) + 1) - 1e-9))  # from 1
    return float(np.nextafter(ranked[min(place, len(ranked)) - 1], np.inf))
