"""Drawn cells of the eight classes: the offline default and the tests' data; and the same cells as another laboratory
would show them, with another stain, another magnification and more around each cell. Drawn, not real.

Everything is a distance field in units of the picture's side (0 to 1), so that one cell looks the same at 28 and at
224 px: a shape is a field that is negative inside, laid over the picture with an edge about a pixel soft. Granules are
read from tiles of cellular noise (Worley 1996, https://doi.org/10.1145/237170.237267). Cells are drawn many at a time;
each depends only on its class, its place in the list and the seed, not on the others.
"""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from core.datasets.base import DatasetSpec, DatasetUnavailable, LoadedDataset, Provenance, Split, register
from core.datasets.base import content_hash as hash_of
from core.datasets.bloodmnist import CLASSES
from core.progress import Report, batches, silent

TILE = 512  # side in samples of a noise tile, which covers one picture's side
NUMBERS = 512  # random numbers a cell may use
CHUNK_PIXELS = 1 << 17  # drawn at a time: small enough for the processor's cache

Array = np.ndarray
Colour = tuple[float, float, float]  # levels of red, green, blue


@cache
def _clouds(width: float) -> Array:
    """Smooth noise of mean 0 and deviation 1, (TILE, TILE): clouds about ``width`` wide, repeating at the edges."""
    white = np.random.default_rng(round(width * 1e4)).standard_normal((TILE, TILE))
    smooth = gaussian_filter(white, width / 2.5 * TILE, mode="wrap")
    return ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)


@cache
def _points(number: int, seed: int) -> tuple[Array, Array]:
    """Of about ``number`` scattered points the distance to the nearest and its value, 0 to 1; (TILE, TILE) each."""
    rng, side = np.random.default_rng(seed), int(np.sqrt(number))
    places = (np.indices((side, side)).reshape(2, -1).T + rng.uniform(0.08, 0.92, (side * side, 2))) / side
    at = (np.indices((TILE, TILE)).reshape(2, -1).T + 0.5) / TILE
    distance, index = cKDTree(places, boxsize=1.0).query(at)
    values = rng.random(side * side)[index]
    return distance.reshape(TILE, TILE).astype(np.float32), values.reshape(TILE, TILE).astype(np.float32)


class _Scene:
    """n pictures being painted: ``x`` and ``y`` (1, S, S) are places, ``colour`` (n, S, S, 3) levels.

    ``numbers`` (n, NUMBERS) are the pictures' random numbers of 0 to 1, handed out column by column as (n, 1, 1). So
    are ``middle``, ``radius`` and direction ``turn`` of each picture's cell, and its ``age``, 0 to 1.
    """

    def __init__(self, numbers: Array, size: int, radius: float, spread: float) -> None:
        self.size, self._numbers = size, iter(numbers.T[:, :, None, None])
        at = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.x, self.y = at[None, None, :], at[None, :, None]
        self.colour = np.zeros((len(numbers), size, size, 3), np.float32)
        self.middle, self.radius = (self.bell(0.5, 0.02), self.bell(0.5, 0.02)), self.bell(radius, spread)
        self.turn, self.age = self.uniform(0, 2 * np.pi), self.uniform()

    def uniform(self, low: float | Array = 0.0, high: float | Array = 1.0) -> Array:
        return low + (high - low) * next(self._numbers)

    def bell(self, centre: float | Array, spread: float) -> Array:
        """A bell-shaped number around ``centre`` that never strays further than 2 * ``spread``."""
        return centre + spread * (sum(next(self._numbers) for _ in range(4)) - 2)

    def chance(self, share: float) -> Array:
        """1 for about ``share`` of the pictures, else 0."""
        return (self.uniform() < share).astype(np.float32)

    def at(self, far: Array, angle: Array | float) -> tuple[Array, Array]:
        """The place ``far`` from the cell's middle, in the direction ``angle`` from ``turn`` on."""
        return self.middle[0] + far * np.cos(self.turn + angle), self.middle[1] + far * np.sin(self.turn + angle)

    def places(self) -> Array:
        """Another place of a tile for each picture: (n, S, S) indices into the flat tile."""
        across, down = (((self.uniform() + at) * TILE).astype(np.int32) % TILE for at in (self.x, self.y))
        return down * TILE + across

    def noise(self, width: float) -> Array:
        return _clouds(width).ravel()[self.places()]

    def ellipse(self, x: Array, y: Array, long: Array, wide: Array, turn: Array) -> Array:
        """Nearly the distance to an ellipse with half axes ``long``, in the direction ``turn``, and ``wide``."""
        dx, dy = self.x - x, self.y - y
        along, over = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        return (np.hypot(along / long, over / wide) - 1) * np.minimum(long, wide)

    def blob(self, x: Array, y: Array, radius: Array, bumps: float) -> Array:
        """A roundish outline, out of true by about ``bumps`` of its radius."""
        dx, dy = self.x - x, self.y - y
        distance, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
        waves = (self.bell(0, bumps / k) * np.cos(k * angle + self.uniform(0, 2 * np.pi)) for k in range(2, 6))
        return distance - radius * (1 + sum(waves))

    def coverage(self, field: Array, soft: float = 0.008) -> Array:
        """How much of each pixel lies inside a field, 0 to 1."""
        return np.clip(0.5 - field / max(soft, 1.3 / self.size), 0, 1)

    def paint(self, alpha: Array, colour: Array) -> None:
        """Lay ``colour`` (broadcast to (n, S, S, 3)) over the pictures where ``alpha`` (n, S, S) says."""
        self.colour += alpha[..., None] * (colour - self.colour)


def _rgb(*levels: float) -> Array:
    return np.array(levels, np.float32)


def _mix(first: Colour, second: Colour, share: Array) -> Array:
    return _rgb(*first) + (_rgb(*second) - _rgb(*first)) * share[..., None]


def _union(first: Array, second: Array, soft: float = 0.03) -> Array:
    """Two shapes flowing into one another over ``soft``."""
    near = np.maximum(soft - np.abs(first - second), 0) / soft
    return np.minimum(first, second) - near * near * soft / 4


def _dented(s: _Scene, far: Array, long: Array, wide: Array, gap: float | Array, dent: Array) -> Array:
    """A nucleus set back by ``far``, round or oval, with a dent; all in radii, ``gap`` and ``dent`` of ``wide``."""
    r, across = s.radius, s.turn + np.pi / 2
    shape = s.ellipse(*s.at(-far * r, 0), r * long, r * wide, across)
    hole = s.ellipse(*s.at(r * (wide * gap - far), s.bell(0, 0.1)), r * wide * dent, r * wide * dent, across)
    return -_union(-shape, hole, 0.05) + 0.0045 * s.noise(0.1)


def _lobed(s: _Scene, count: Array | int, sweep: Array, far: float, size: Array, thread: float | Array) -> Array:
    """A nucleus of two to five lobes on a bow of ``sweep``, joined by threads; ``far`` out, ``size`` large (radii)."""
    shape, before = np.ones(1, np.float32), None
    for k in range(5):
        angle = sweep * (np.minimum(k, count - 1) / (count - 1) - 0.5) + s.bell(0, 0.06)
        x, y = s.at(s.radius * s.bell(far, 0.04), angle)
        long, absent = s.radius * size * s.uniform(0.88, 1.16), k >= count
        shape = _union(shape, s.ellipse(x, y, 1.12 * long, 0.94 * long, s.turn + angle + np.pi / 2) + absent, 0.02)
        if before is not None:
            dx, dy = x - before[0], y - before[1]
            half = np.hypot(dx, dy) / 2 + 0.01
            bridge = s.ellipse(x - dx / 2, y - dy / 2, half, s.radius * thread, np.arctan2(dy, dx))
            shape = _union(shape, bridge + absent, 0.02)
        before = x, y
    return shape


class _Granules(NamedTuple):
    """``share`` of about ``number`` points in a picture; ``fades``: the share by which age thins them out."""

    colour: Colour
    number: int
    radius: float
    share: float
    fades: float = 0.0
    over: bool = False  # the nucleus too


class _Kind(NamedTuple):
    """How cells of one class look: lengths in the picture's side, ``young`` and ``old`` the cytoplasm's colours,
    ``edge`` how much darker it is at its rim, ``clefts`` 0 for dense and 1 for lacy chromatin of clumps ``grain`` wide.
    """

    radius: float
    spread: float
    bumps: float
    young: Colour
    old: Colour
    purple: Colour
    clefts: float
    grain: float
    granules: tuple[_Granules, ...]
    nucleus: Callable[[_Scene], Array]
    edge: float = 0.10


KINDS = (
    _Kind(  # basophil: coarse dark granules of uneven size over and around a blurred lobed nucleus
        0.275, 0.020, 0.08, (196, 160, 192), (222, 186, 200), (98, 64, 142), 0.7, 0.028,
        (_Granules((112, 62, 132), 900, 0.0105, 0.55), _Granules((62, 30, 98), 560, 0.0165, 0.75, 0.7, True),
         _Granules((52, 24, 90), 620, 0.0150, 0.55, 0.7, True)),
        lambda s: _lobed(s, 3, s.uniform(4, 4.4), 0.40, s.uniform(0.4, 0.45), 0.2),
    ),
    _Kind(  # eosinophil: two lobes, now and then three, in a body packed with even orange-red granules
        0.325, 0.018, 0.06, (226, 138, 112), (220, 142, 134), (76, 46, 122), 0.75, 0.020,
        (_Granules((212, 104, 80), 1500, 0.0135, 1.0), _Granules((202, 112, 104), 1450, 0.0125, 1.0)),
        lambda s: _lobed(s, 2 + s.chance(0.3), s.uniform(2.4, 3.1), 0.56, s.uniform(0.36, 0.41), 0.045),
    ),
    _Kind(  # erythroblast: a very dense round nucleus in grey-blue to grey-pink cytoplasm; the older the smaller
        0.212, 0.026, 0.10, (140, 130, 170), (188, 164, 178), (54, 30, 98), 0.3, 0.030, (),
        lambda s: _dented(s, s.uniform(0, 0.2), r := 0.68 - 0.14 * s.age, r, 2, s.uniform(0.1, 0.2)), 0.14,
    ),
    _Kind(  # promyelocyte to metamyelocyte: a large round to indented nucleus of fine chromatin, granules
        0.325, 0.026, 0.09, (168, 152, 196), (216, 186, 200), (96, 60, 138), 0.5, 0.015,
        (_Granules((146, 84, 158), 2600, 0.0058, 0.75), _Granules((122, 40, 118), 1500, 0.0088, 0.6, 1.2, True)),
        lambda s: _dented(s, s.uniform(0.18, 0.3), 0.74 - 0.08 * s.age, 0.66 - 0.16 * s.age, 1.5 - 0.45 * s.age,
                             0.3 + 0.32 * s.age),
    ),
    _Kind(  # lymphocyte: a dense round nucleus that leaves a thin blue rim
        0.228, 0.020, 0.06, (134, 146, 200), (176, 186, 220), (68, 40, 114), 0.3, 0.028, (),
        lambda s: _dented(s, s.uniform(0, 0.08), r := s.uniform(0.76, 0.9), r, 1.25, s.uniform(0.15, 0.4)), 0.16,
    ),
    _Kind(  # monocyte, the largest: a kidney-shaped lacy nucleus, grey-blue dusty cytoplasm, vacuoles
        0.365, 0.024, 0.18, (164, 158, 190), (186, 176, 196), (104, 70, 142), 0.9, 0.017,
        (_Granules((146, 116, 168), 3000, 0.0045, 0.6), _Granules((236, 222, 222), 100, 0.020, 0.12)),
        lambda s: _dented(s, s.uniform(0.08, 0.2), s.uniform(0.76, 0.86), s.uniform(0.54, 0.62),
                             s.uniform(0.95, 1.2), s.uniform(0.3, 0.5)),
    ),
    _Kind(  # neutrophil: three to five lobes on a bow, joined by threads; pale pink, finest granules
        0.315, 0.018, 0.06, (232, 204, 202), (218, 188, 200), (74, 44, 120), 0.6, 0.020,
        (_Granules((186, 142, 176), 3000, 0.0046, 0.62),),
        lambda s: _lobed(s, n := 3 + s.chance(0.62) + s.chance(0.4), s.uniform(2.5, 3.6) + 0.3 * (n - 2), 0.46,
                            s.uniform(0.25, 0.32), 0.04 + 0.14 * s.chance(0.2)), 0.09,
    ),
    _Kind(  # platelet: a small frayed disc, pale at its edge and full of purple granules in its middle
        0.112, 0.020, 0.16, (206, 188, 212), (186, 160, 200), (146, 100, 166), 0.9, 0.015,
        (_Granules((112, 58, 140), 2200, 0.0098, 0.8, 0.0, True), _Granules((86, 40, 118), 1100, 0.01, 0.4, 0.0, True)),
        lambda s: s.blob(*s.middle, 0.6 * s.radius, 0.16) + 0.02, 0.0,
    ),
)  # fmt: skip


def _background(scene: _Scene) -> None:
    """Plasma and red cells with their central pallor, none nearer to the middle than the cell reaches."""
    scene.colour += _rgb(254, 229, 204) + 1.9 * scene.noise(0.3)[..., None]
    start, slots = scene.uniform(0, 2 * np.pi), 9
    cover: Array = np.zeros(1, np.float32)  # how much of a pixel red cells take ...
    tone: Array = np.zeros(1, np.float32)  # ... and how pale they are there
    for slot in range(slots):
        angle = start + 2 * np.pi * (slot + scene.uniform(-0.3, 0.3)) / slots
        long, wide = scene.bell(0.180, 0.012), scene.bell(0.174, 0.012)
        # Beyond 0.85 nothing of it is in the picture: so the field is crowded here and empty there.
        far = np.maximum(scene.uniform(0.42, 0.92), scene.radius + long * scene.uniform(0.98, 1.10))
        field = scene.ellipse(*scene.at(far, angle), long, wide, scene.uniform(0, np.pi))
        depth = np.clip(1 + field / wide, 0, 1.2)  # 0 in the middle, 1 at the edge
        pallor = scene.uniform(0.6, 1.0) * np.exp(-((depth / scene.uniform(0.36, 0.58)) ** 4))
        alpha = 0.95 * scene.coverage(field)
        tone = tone + alpha * (pallor - 0.9 * np.clip(depth - 0.6, 0, 0.4) + scene.bell(0, 0.2) - tone)
        cover = cover + alpha * (1 - cover)
    scene.paint(cover, _mix((213, 180, 171), (243, 217, 198), tone))


def _granules(scene: _Scene, where: Array, each: _Granules, seed: int) -> None:
    flat = scene.places()
    distance, value = (field.ravel()[flat] for field in _points(each.number, seed))
    share = each.share * np.clip(1 - each.fades * scene.age, 1e-6, 1)
    spots = scene.coverage(distance - each.radius * (0.72 + 0.5 * value), 0.005) * (value < share)
    scene.paint(spots * where, _rgb(*each.colour) * (1 + 0.24 * (value - 0.5))[..., None])


def _picture(numbers: Array, size: int, kind: _Kind, seed: int) -> Array:
    """Pictures float (n, size, size, 3) of one class's cells, each as another slide and lamp would show it."""
    scene = _Scene(numbers, size, kind.radius, kind.spread)
    _background(scene)
    field = scene.blob(*scene.middle, scene.radius, kind.bumps) + 0.0035 * scene.noise(0.08)
    body, rim = scene.coverage(field, 0.010), np.exp(-np.abs(field + 0.008) / 0.014)
    light = 1 + 0.022 * scene.noise(0.05) - kind.edge * rim
    scene.paint(body, _mix(kind.young, kind.old, scene.age) * light[..., None])
    for number, each in enumerate(g for g in kind.granules if not g.over):
        _granules(scene, body, each, seed + number)
    field = kind.nucleus(scene) + 0.0016 * scene.noise(0.05)
    mottle = 0.8 * scene.noise(kind.grain) + 0.6 * scene.noise(2.5 * kind.grain)  # clumps of chromatin
    membrane = np.exp(-np.abs(field + 0.006) / 0.007)
    purple = np.concatenate([scene.bell(level, 5) for level in kind.purple], -1)[:, :, None, :]
    chromatin = purple * (1 + 0.10 * mottle + 0.05 * scene.noise(0.15) - 0.15 * membrane)[..., None]
    pale = np.clip((mottle - 1.15 + 0.45 * kind.clefts) * 1.5, 0, 1) * (0.35 + 0.5 * kind.clefts) * (1 - membrane)
    scene.paint(scene.coverage(field), chromatin + (_rgb(172, 122, 172) - chromatin) * pale[..., None])
    for number, each in enumerate(g for g in kind.granules if g.over):
        _granules(scene, body, each, seed + 5 + number)
    gain = np.stack([scene.bell(1, 0.012) for _ in range(3)], -1) * scene.bell(1, 0.012)[..., None]
    picture = (scene.colour - 235) * scene.bell(1.0, 0.06)[..., None] + 235
    blueish = scene.chance(0.07)[..., None]  # a lamp set colder, as on a few slides: pale parts turn blue
    picture = picture + blueish * _rgb(-26, -2, 36) * (picture.mean(-1, keepdims=True) / 232) ** 4
    grain = np.stack([scene.noise(1e-4 * channel) for channel in (1, 2, 3)], -1)
    return picture * gain + 1.6 * grain


def draw_cells(labels: Array | Sequence[int], size: int, seed: int) -> Array:
    """Drawn cells, uint8 (N, size, size, 3) RGB: one for each class index (0 to 7) in ``labels``.

    The same labels and seed give the same cells, and the same ones at each size.
    """
    labels = np.asarray(labels, np.int64).reshape(-1)
    if labels.size and not (labels.min() >= 0 and labels.max() < len(KINDS)):
        raise ValueError(f"class indices go from 0 to {len(KINDS) - 1}")
    zoom = 1 if size >= 56 else -(-56 // size)  # a very small picture is drawn larger, then averaged
    pictures = np.empty((len(labels), size, size, 3), np.uint8)
    seeds = np.random.SeedSequence(seed).spawn(len(labels))
    for number, kind in enumerate(KINDS):
        members = np.flatnonzero(labels == number)
        for part in batches(len(members), max(1, CHUNK_PIXELS // (size * zoom) ** 2)):
            rows = members[part]
            numbers = np.stack([np.random.default_rng(seeds[i]).random(NUMBERS, np.float32) for i in rows])
            picture = _picture(numbers, size * zoom, kind, 10 * number)
            picture = picture.reshape(len(rows), size, zoom, size, zoom, 3).mean((2, 4))
            pictures[rows] = np.clip(picture + 0.5, 0, 255)
    return pictures


# Of optical density: how much of red, green and blue each of red, green and blue of the usual stain becomes. Bluer
# nuclei, duller reds, as with more azure B, less eosin and a buffer that is not acid enough.
_STAIN = np.array([[1.25, 0.10, 0.00], [0.12, 0.72, 0.10], [0.18, 0.05, 0.62]])
_DENSITY_GAIN = 1.1
_LAMP = np.array([0.02, 0.10, 0.16])  # optical density of an empty field: a yellowish lamp
_MARGIN = 0.12  # of a drawing's side, on each side of it
# BA, EO, ERB, IG, LY, MO, NE, PLT, of a hundred: a differential with a few of each rare kind.
CLASS_SHARES = np.array([5, 9, 4, 6, 24, 11, 36, 5])


def stain_shift_labels(count: int, seed: int = 0) -> Array:
    """Classes int (count,) of cells as a smear shows them, mixed, with at least one of each from 25 cells on."""
    rank = (np.arange(count) + 0.5) * CLASS_SHARES.sum() / count
    return np.random.default_rng(seed).permutation(np.searchsorted(np.cumsum(CLASS_SHARES), rank, side="right"))


def stain_shift_cells(labels: Array, side: int = 190, seed: int = 0) -> Array:
    """Drawn cells of class indexes ``labels`` (N,) in a foreign stain, uint8 (N, S, S, 3).

    ``side`` px is the drawing's side, the square that models know; S is a quarter more, mirrored at the border.
    """
    density = -np.log((np.arange(256) + 1) / 256)[draw_cells(labels, side, seed)]
    tinted = 256 * np.exp(-_DENSITY_GAIN * (density @ _STAIN.T) - _LAMP) - 1
    margin = round(_MARGIN * side)
    cells = np.clip(tinted + 0.5, 0, 255).astype(np.uint8)
    return np.pad(cells, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="symmetric")


SIZES = (28, 64, 128, 224)
COUNTS = {"train": 1600, "val": 320, "test": 480}
PROVENANCE_LABEL = "drawn, not real"


@lru_cache(maxsize=4)
def _loaded(size: int) -> LoadedDataset:
    splits, fewer = {}, {128: 4, 224: 8}.get(size, 1)  # drawing large cells takes long
    for number, (split, count) in enumerate(COUNTS.items()):
        labels = np.random.default_rng(100 + number).permutation(np.arange(count // fewer) % len(CLASSES))
        ids = np.array([f"drawn-{split}-{i:05d}" for i in range(len(labels))])
        splits[split] = Split(draw_cells(labels, size, seed=number), labels, ids)
        for array in (splits[split].images, labels, ids):
            array.setflags(write=False)
    return LoadedDataset(SPEC, size, Provenance("drawn", PROVENANCE_LABEL, hash_of(splits)), splits)


def load(size: int, content_hash: str | None = None, scheme: str = "", report: Report = silent) -> LoadedDataset:
    """The drawn data set at ``size``, always the same ones; `DatasetUnavailable` for another size or content."""
    if size not in SIZES:
        raise DatasetUnavailable(f"Cells are drawn at {', '.join(map(str, SIZES))} px, not at {size} px.")
    loaded = _loaded(size)
    if content_hash not in (None, loaded.provenance.content_hash):
        raise DatasetUnavailable(
            f"The drawn cells with content {content_hash} came from another version of HemaLens; "
            f"this one draws {loaded.provenance.content_hash}."
        )
    return loaded


SPEC = register(
    DatasetSpec(
        name="synthetic",
        title="Drawn cells",
        summary="Cells drawn by HemaLens for tests and for use without the real images; drawn, not real.",
        classes=CLASSES,
        sizes=SIZES,
        real=False,
        domain="drawings; no model trained on them knows anything of real cells",
        licence="the same as HemaLens's own",
        citation="HemaLens, core/datasets/synthetic.py",
        url="",
        load=load,
        available=SIZES.__contains__,
    )
)
