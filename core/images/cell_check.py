"""Is this a cell? What a picture shows is told from the picture alone, before any model is asked, so that the answer is
the same for every run and every laboratory's profile.

Rules tell what holds nothing (blank, noise, too small) and flat drawings. A small network, ``cell_check.onnx`` in
``pretrained/``, made by ``python -m benchmarks.cell_check --fit``, tells one cell from red cells without a white one,
several cells, a whole field, and what is no smear at all. It looks twice: at the crop that a model would see, and at
the picture as it came where the crop is only a part of it. Where it is in doubt whether several cells are shown, it
counts whether two nuclei are found. Without the file, or where it is broken, the rules answer alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnxruntime as ort
from PIL import Image

from core.images.crop import Crop, CropSpec
from core.images.framing import MeasuredPicture, cut_box, unit_by_shape
from core.images.nucleus import has_two_nuclei
from core.storage import cached_file

CellKind = Literal["cell", "blank", "noise", "red_cells", "several_cells", "field", "photograph", "unclear"]
KINDS: tuple[CellKind, ...] = get_args(CellKind)
NETWORK_PATH = Path(__file__).resolve().parents[2] / "pretrained" / "cell_check.onnx"
SIDE = 48  # px: what the network looks at
INPUT, OUTPUT = "image", "probabilities"

_SENTENCES: dict[CellKind, str] = {
    "cell": "One cell.",
    "blank": "Nothing is to be seen here: no cell.",
    "noise": "Only noise is to be seen here: no cell.",
    "red_cells": "Only red cells or background are to be seen here: no white cell and no platelet.",
    "several_cells": "Several cells are to be seen here: cut them out, one a picture.",
    "field": "This is a whole microscope field: cut its cells out, one a picture.",
    "photograph": "This does not look like a smear under a microscope, but like a photograph, a drawing or text.",
    "unclear": "Too blurred or too small to tell what it is.",
}
# What is fit for data sets whose pictures are fields; for any other it is one cell.
_FIELD_KINDS = frozenset({"cell", "several_cells", "field"})

_MIN_SIDE = 20  # px of a picture or crop: less tells nothing
_MIN_RANGE = 10.0  # grey levels between the 1st and the 99th percentile of a smoothed channel: less is blank
_MAX_ROUGHNESS = 0.8  # of the variance that lies between neighbouring pixels; white noise has 1
_WHOLE_SHARE = 0.9  # of a picture: a crop that holds less leaves a rest to look at
_MIN_CELL = 0.6  # probability of a cell below which a crop is called none
# Drawings are flat: of 12,000 cells none had more than .35 of pixels like both their neighbours, most charts have .4.
# There more must speak for a cell; one cut out along its border, on black or white, is flat too.
_MAX_FLAT, _MIN_CELL_IF_FLAT = 0.35, 0.95
# What stands out of a drawing's ground is flat too: of 2,600 cells none had more than .04 of such pixels.
_MAX_FLAT_FORM, _MIN_FORM, _GREY_LEVELS = 0.12, 60, 12
# With a little noise they are flat to one grey level: of 6,700 cells of five sets, blurred ones too, none had .4 so.
_MAX_NOISY_FORM = 0.42
# One cell with neighbours is a cell: several cells are told where little speaks for one, and nothing else is likely.
_MAX_SEVERAL, _MIN_ONE_OR_SEVERAL = 0.9, 0.9
# A cell out of focus is a cell: too blurred is said where nothing else is likely, not where a cell may be it.
_MAX_BLURRED, _MIN_CELL_IF_BLURRED = 0.95, 0.1
# Where a nucleus was found by its stain, so little is enough against red cells alone and the like: laboratories unlike
# all that the network met are told by the stain still.
_MIN_CELL_IF_FOUND = 0.15
_STAIN_TELLS: frozenset[CellKind] = frozenset({"red_cells", "several_cells", "unclear"})
# As probable must it be that the picture as a whole is none of a cell, whatever the crop shows.
_MIN_WHOLE: dict[CellKind, float] = {"photograph": 0.9, "noise": 0.9}
# That it shows several cells, or a field, is believed from here on; less is enough where two nuclei were found in it.
_MIN_SEVERAL, _MIN_SEVERAL_IF_TWO_NUCLEI = 0.9, 0.2


@dataclass(frozen=True)
class CellCheck:
    """What a picture shows: ``kind``, and ``score`` 0 to 1, how surely it is what is wanted.

    ``unit``: what is wanted, 'cell' (a platelet is one) or, for data sets of whole fields, 'field'.
    """

    kind: CellKind
    score: float
    unit: str = "cell"

    @property
    def is_cell(self) -> bool:
        """Whether it shows what is wanted: one cell, or blood cells where whole fields are wanted."""
        return self.kind in _FIELD_KINDS if self.unit == "field" else self.kind == "cell"

    @property
    def sentence(self) -> str:
        """What it shows, for a person."""
        return "Blood cells." if self.is_cell and self.unit == "field" else _SENTENCES[self.kind]


def check_crops(crops: np.ndarray, unit: str = "cell") -> list[CellCheck]:
    """What each of ``crops`` uint8 (N, S, S, 3) shows, as a model would see it; any S from 20 on, such as 28, 64, 128.

    ``unit`` 'cell' or 'field': what is wanted (`DatasetSpec.unit`).
    """
    small = _at_one_size(crops)
    rules = _by_rules(small)
    if crops.shape[1] < _MIN_SIDE:
        rules = ["unclear"] * len(crops)
    flat = _flat_share(small)
    return [_decide(*of_crop, None, False, unit) for of_crop in zip(rules, flat, _see(small), strict=True)]


def cell_probabilities(windows: Sequence[np.ndarray]) -> np.ndarray | None:
    """How probably each of ``windows``, squares uint8 (S, S, 3) of a field, shows a white cell, alone or among others:
    float (N,); None without the network.
    """
    seen = _see(_at_one_size(windows))
    if isinstance(seen, list):
        return None
    return seen[:, KINDS.index("cell")] + seen[:, KINDS.index("several_cells")]


def check_pictures(pictures: Sequence[MeasuredPicture], crops: Sequence[Crop], spec: CropSpec) -> list[CellCheck]:
    """What each of ``pictures`` shows, cut out as ``crops`` (their boxes count, not their size) for models of ``spec``.

    The boxes are looked at anew, at a size of their own, so that the answer is the same for models of all sizes. Raises
    `DecodeError` for a picture whose pixels can't be read.
    """
    if not pictures:
        return []
    cut = _at_one_size([cut_box(picture.pixels, crop.box) for picture, crop in zip(pictures, crops, strict=True)])
    # Where the crop is but a part, the rest tells a field, a page, a photograph.
    partial = [
        _area(crop.box) < _WHOLE_SHARE * picture.shape[0] * picture.shape[1]
        for picture, crop in zip(pictures, crops, strict=True)
    ]
    wholes = [picture.pixels for picture, part in zip(pictures, partial, strict=True) if part]
    of_whole = iter(_see(_at_one_size(wholes)) if wholes else ())
    checks = []
    for picture, by_rule, flat, seen, part in zip(
        pictures, _by_rules(cut), _flat_share(cut), _see(cut), partial, strict=True
    ):
        whole, rule = next(of_whole) if part else None, by_rule
        if rule is None and spec.unit == "cell":
            rule = _several(seen if whole is None else whole, picture.pixels)
        height, width = picture.shape
        if min(height, width) < _MIN_SIDE:
            rule = "unclear"
        elif rule is None and spec.unit == "cell" and unit_by_shape(width, height, spec) == "field":
            rule = _field_or_else(whole)
        checks.append(_decide(rule, flat, seen, whole, picture.found_cell is not None, spec.unit))
    return checks


def _several(seen: np.ndarray | None, pixels: np.ndarray) -> CellKind | None:
    """Whether ``pixels`` (H, W, 3), of which the network has ``seen`` the whole, show several cells; None if not."""
    if seen is None:
        return None
    several, field = (float(seen[KINDS.index(kind)]) for kind in ("several_cells", "field"))
    needed = _MIN_SEVERAL
    if _MIN_SEVERAL_IF_TWO_NUCLEI <= several + field < _MIN_SEVERAL and has_two_nuclei(pixels):
        needed = _MIN_SEVERAL_IF_TWO_NUCLEI
    if several + field < needed:
        return None
    return "several_cells" if several >= field else "field"


def _field_or_else(whole: np.ndarray | None) -> CellKind:
    """What a picture shaped like a field is: one, unless it is plainly none of a smear."""
    if whole is None:
        return "field"
    seen = dict(zip(KINDS, whole, strict=True))
    others: tuple[CellKind, ...] = ("photograph", "noise", "blank", "red_cells")
    other = max(others, key=seen.__getitem__)
    return other if seen[other] > 0.5 else "field"


def _decide(
    rule: CellKind | None, flat: float, seen: np.ndarray | None, whole: np.ndarray | None, found: bool, unit: str
) -> CellCheck:
    """The answer from the ``rule`` that holds (None: none does), how ``flat`` the crop is, and what the network sees in
    the crop and the whole; ``found``: whether a nucleus was found by its stain.
    """
    wanted: CellKind = "field" if unit == "field" else "cell"
    if rule:
        return CellCheck(rule, 0.0, unit)
    if seen is None:
        return CellCheck(wanted, 1.0, unit)
    of_crop = dict(zip(KINDS, seen.tolist(), strict=True))
    if unit == "field":
        score = sum(of_crop[kind] for kind in _FIELD_KINDS)
        likeliest = max(KINDS, key=lambda kind: of_crop[kind] if kind not in _FIELD_KINDS else score)
        return CellCheck(wanted if likeliest in _FIELD_KINDS else likeliest, score, unit)
    score = of_crop["cell"]
    if whole is not None:
        of_whole = dict(zip(KINDS, whole.tolist(), strict=True))
        for kind, least in _MIN_WHOLE.items():
            if of_whole[kind] >= least:
                return CellCheck(kind, min(score, of_whole["cell"]), unit)
    if flat > _MAX_FLAT and score < _MIN_CELL_IF_FLAT:
        others = [kind for kind in KINDS[1:] if kind != "unclear"]
        return CellCheck(max(others, key=of_crop.__getitem__), score, unit)
    several, blurred = of_crop["several_cells"], of_crop["unclear"]
    other = max(KINDS[1:], key=of_crop.__getitem__)
    is_cell = (
        score >= _MIN_CELL
        or (several < _MAX_SEVERAL and score + several >= _MIN_ONE_OR_SEVERAL)
        or (blurred < _MAX_BLURRED and score >= _MIN_CELL_IF_BLURRED and score + blurred >= _MIN_ONE_OR_SEVERAL)
        or (found and score >= _MIN_CELL_IF_FOUND and other in _STAIN_TELLS)
    )
    return CellCheck("cell" if is_cell else other, score, unit)


def _by_rules(crops: np.ndarray) -> list[CellKind | None]:
    """What plainly holds nothing among ``crops`` uint8 (N, SIDE, SIDE, 3); None for any other."""
    blocks = crops.reshape(len(crops), SIDE // 2, 2, SIDE // 2, 2, 3).mean((2, 4), dtype=np.float32)
    ranked = np.sort(blocks.reshape(len(crops), -1, 3), axis=1)
    low, high = (ranked[:, round(share * (ranked.shape[1] - 1))] for share in (0.01, 0.99))
    grey = crops.mean(axis=3, dtype=np.float32)
    between = (np.diff(grey, axis=1).var((1, 2)) + np.diff(grey, axis=2).var((1, 2))) / 4
    blank, noise = (high - low).max(1) < _MIN_RANGE, between > _MAX_ROUGHNESS * grey.var((1, 2))
    drawn = (_flat_forms(crops) > _MAX_FLAT_FORM) | (_flat_forms(crops, 1) > _MAX_NOISY_FORM)
    return [
        "blank" if b else "noise" if n else "photograph" if d else None
        for b, n, d in zip(blank, noise, drawn, strict=True)
    ]


def _flat_forms(crops: np.ndarray, tolerance: int = 0) -> np.ndarray:
    """Share of the pixels of ``crops`` uint8 (N, S, S, 3) that equal their neighbours, to ``tolerance`` grey levels, of
    those unlike the commonest colour: (N,); 0 where few are.
    """
    shares = np.zeros(len(crops))
    for place, (crop, flat) in enumerate(zip(crops[:, :-1, :-1], _is_flat(crops, tolerance), strict=True)):
        codes = (crop // 8).astype(np.int32) @ (1024, 32, 1)
        commonest = crop[codes == np.bincount(codes.ravel()).argmax()].mean(0)
        forms = (np.abs(crop - commonest) > _GREY_LEVELS).any(2)
        if forms.sum() >= _MIN_FORM:
            shares[place] = flat[forms].mean()
    return shares


def _flat_share(crops: np.ndarray) -> np.ndarray:
    """Share of the pixels of ``crops`` uint8 (N, S, S, 3) that equal the ones to the right and below: (N,)."""
    return _is_flat(crops).mean((1, 2))


def _is_flat(crops: np.ndarray, tolerance: int = 0) -> np.ndarray:
    """Which pixels of ``crops`` uint8 (N, S, S, 3) equal the ones to the right and below, to ``tolerance`` grey levels:
    bool (N, S - 1, S - 1).
    """
    wide = crops.astype(np.int16)
    here = wide[:, :-1, :-1]
    beside = np.maximum(np.abs(here - wide[:, 1:, :-1]), np.abs(here - wide[:, :-1, 1:]))
    return (beside <= tolerance).all(3)


def _see(crops: np.ndarray) -> np.ndarray | list[None]:
    """Probabilities float (N, 8) of `KINDS` of ``crops`` uint8 (N, SIDE, SIDE, 3); None each without the network."""
    network = _network()
    if network is None:
        return [None] * len(crops)
    return network.run([OUTPUT], {INPUT: crops})[0]


def missing_network() -> str:
    """What is wrong where the network can't look, so that the rules answer alone, and what to do; '' where it can."""
    if _network() is not None:
        return ""
    return (
        f"{NETWORK_PATH.name} is missing or can't be read, so pictures that show no cell are hardly noticed. Restore "
        "HemaLens's folder 'pretrained'"
    )


def _network() -> ort.InferenceSession | None:
    try:
        return _open(NETWORK_PATH)
    except FileNotFoundError:
        return None


@cached_file(maxsize=2)
def _open(path: Path) -> ort.InferenceSession | None:
    """The network in ``path``; None where it can't be read or is of another kind."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        kinds = json.loads(session.get_modelmeta().custom_metadata_map["kinds"])
        seen = session.run([OUTPUT], {INPUT: np.zeros((1, SIDE, SIDE, 3), np.uint8)})[0]
    except Exception:  # ONNX Runtime raises kinds of its own that derive from Exception only
        return None
    fits = kinds == list(KINDS) and seen.shape == (1, len(KINDS)) and bool(np.isfinite(seen).all())
    return session if fits else None


def _at_one_size(pictures: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """``pictures`` uint8 (H, W, 3), each squeezed to a square of `SIDE` px: (N, SIDE, SIDE, 3)."""
    squeezed = np.empty((len(pictures), SIDE, SIDE, 3), np.uint8)
    for place, pixels in zip(squeezed, pictures, strict=True):
        image = Image.fromarray(np.ascontiguousarray(pixels))
        place[:] = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0))
    return squeezed


def _area(box: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)
