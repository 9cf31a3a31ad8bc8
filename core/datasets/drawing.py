"""Draws blood cells of eight kinds as a May Grünwald-Giemsa stain shows them. Drawings, not data.

Everything is a distance field in units of the picture's side (0 to 1), so that one cell looks the
same at 28 and at 224 px: a shape is a field that is negative inside, and it is laid over the
picture with an edge about a pixel soft. Granules and chromatin are read from tiles of cellular
noise (Worley 1996, https://doi.org/10.1145/237170.237267). Cells are drawn many at a time; each
depends only on its class, its place in the list and the seed, not on the others.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

TILE = 512  # side in samples of a noise tile, which covers one picture's side
NUMBERS = 640  # random numbers a cell may use
CHUNK_PIXELS = 1 << 17  # pixels drawn at a time: small enough for the processor's cache

Array = np.ndarray


class RandomColumns:
    """Random numbers of n cells, handed out column by column: ``uniform(a, b)`` is (n, 1, 1)."""

    def __init__(self, numbers: Array) -> None:
        self._numbers = numbers
        self._next = 0

    def _take(self, count: int) -> Array:
        taken = self._numbers[:, self._next : self._next + count]
        if taken.shape[1] < count:
            raise ValueError("a cell uses more than NUMBERS random numbers")
        self._next += count
        return taken

    def uniform(self, low: float | Array = 0.0, high: float | Array = 1.0) -> Array:
        return low + (high - low) * self._take(1)[:, :, None]

    def bell(self, centre: float | Array, spread: float) -> Array:
        """A bell-shaped number around ``centre``: it never strays further than 2 * ``spread``."""
        return centre + spread * (self._take(4).sum(1)[:, None, None] - 2)

    def bernoulli(self, share: float) -> Array:
        """1 for about ``share`` of the cells, else 0."""
        return (self.uniform() < share).astype(np.float32)


@cache
def _tile(points: int, seed: int) -> tuple[Array, Array, Array]:
    """Cellular noise of ``points`` scattered points, repeating at its edges.

    Returns three float32 (TILE, TILE) fields: distance to the nearest point, how much farther the
    second nearest is (both in units of the picture's side), and a number of 0 to 1 of the nearest.
    """
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(points))
    base = (np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) + 0.5) / side
    places = (base + rng.uniform(-0.42, 0.42, base.shape) / side) % 1.0
    values = rng.random(len(places)).astype(np.float32)
    at = (np.stack(np.meshgrid(np.arange(TILE), np.arange(TILE)), -1).reshape(-1, 2) + 0.5) / TILE
    distance, index = cKDTree(places, boxsize=1.0).query(at, k=2)
    shape = (TILE, TILE)
    return (
        distance[:, 0].reshape(shape).astype(np.float32),
        (distance[:, 1] - distance[:, 0]).reshape(shape).astype(np.float32),
        values[index[:, 0]].reshape(shape),
    )


@cache
def _grain() -> Array:
    return np.random.default_rng(99).standard_normal((TILE, TILE, 3)).astype(np.float32)


@cache
def _clouds(width: float) -> Array:
    """Smooth noise of mean 0 and deviation 1, (TILE, TILE): clouds about ``width`` wide, repeating."""
    white = np.random.default_rng(round(width * 1e4)).standard_normal((TILE, TILE))
    smooth = gaussian_filter(white, width / 2.5 * TILE, mode="wrap")
    return ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)


class Scene:
    """n pictures being painted: ``x`` and ``y`` are (1, S, S) places, ``colour`` is (n, S, S, 3)."""

    def __init__(self, draws: RandomColumns, count: int, size: int) -> None:
        self.size, self.count, self.draws = size, count, draws
        at = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.x, self.y = at[None, None, :], at[None, :, None]
        self.colour = np.zeros((count, size, size, 3), np.float32)

    def _cut_out(self) -> Array:
        """Another place of a tile for each picture: (n, S, S) indices into the flat tile."""
        across = ((self.draws.uniform() + self.x) * TILE).astype(np.int32) % TILE
        down = ((self.draws.uniform() + self.y) * TILE).astype(np.int32) % TILE
        return down * TILE + across

    def noise(self, width: float) -> Array:
        """Smooth noise, mean 0 and deviation 1, (n, S, S), in clouds about ``width`` wide."""
        return _clouds(width).ravel()[self._cut_out()]

    def cells(self, points: int, seed: int) -> tuple[Array, Array, Array]:
        """The three fields of `_tile`, another cut-out of it for each picture."""
        flat = self._cut_out()
        return tuple(field.ravel()[flat] for field in _tile(points, seed))

    def coverage(self, field: Array, soft: float = 0.006) -> Array:
        """How much of each pixel lies inside a field, 0 to 1."""
        return np.clip(0.5 - field / max(soft, 1.3 / self.size), 0, 1)

    def paint(self, alpha: Array, colour: Array) -> None:
        """Lay ``colour`` (broadcast to (n, S, S, 3)) over the picture where ``alpha`` (n, S, S) says."""
        self.colour += alpha[..., None] * (colour - self.colour)

    def granules(self, where: Array, colour: Array, points: int, radius: float, share: float, seed: int) -> None:
        """Round granules of about ``radius``, ``share`` of ``points`` in a picture, inside ``where``."""
        near, _, value = self.cells(points, seed)
        selected = value < share
        spots = self.coverage(near - radius * (0.72 + 0.5 * value / max(share, 1e-6)), 0.004) * selected
        self.paint(spots * where, colour)


def _offset_point(x: Array, y: Array, far: Array, angle: Array) -> tuple[Array, Array]:
    return x + far * np.cos(angle), y + far * np.sin(angle)


def rgb(red: float, green: float, blue: float) -> Array:
    return np.array((red, green, blue), np.float32)


def shade(colour: Array, amount: Array) -> Array:
    """``colour`` made lighter or darker: (n, S, S) or (n, 1, 1) amounts of about -1 to 1."""
    return colour * (1 + amount[..., None])


def mix(first: Array, second: Array, share: Array) -> Array:
    return first + (second - first) * share[..., None]


def disc(scene: Scene, x: Array, y: Array, radius: Array) -> Array:
    return np.hypot(scene.x - x, scene.y - y) - radius


def ellipse(scene: Scene, x: Array, y: Array, long: Array, wide: Array, turn: Array) -> Array:
    """Nearly the distance to an ellipse with half axes ``long`` and ``wide``."""
    dx, dy = scene.x - x, scene.y - y
    along, over = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return (np.hypot(along / long, over / wide) - 1) * np.minimum(long, wide)


def blob(scene: Scene, x: Array, y: Array, radius: Array, bumps: float, squash: float = 0.06) -> Array:
    """A roundish outline: an ellipse out of true by about ``bumps`` of its radius."""
    draws = scene.draws
    dx, dy = scene.x - x, scene.y - y
    distance = np.hypot(dx, dy) + 1e-6
    cosine, sine = dx / distance, dy / distance
    outline, c, s = 1.0, cosine, sine
    for order in range(2, 6):
        c, s = c * cosine - s * sine, s * cosine + c * sine  # of `order` times the angle
        amount = draws.bell(0, (squash if order == 2 else bumps / order) * 0.9)
        turn = 2 * np.pi * draws.uniform()
        outline = outline + amount * np.cos(turn) * c - amount * np.sin(turn) * s
    return distance - radius * outline


def rod(scene: Scene, ax: Array, ay: Array, bx: Array, by: Array, radius: Array) -> Array:
    """A straight bridge from a to b."""
    dx, dy = bx - ax, by - ay
    along = np.clip(((scene.x - ax) * dx + (scene.y - ay) * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
    return np.hypot(scene.x - ax - along * dx, scene.y - ay - along * dy) - radius


def union(first: Array, second: Array, soft: float = 0.03) -> Array:
    """Two shapes flowing into one another over ``soft``."""
    near = np.maximum(soft - np.abs(first - second), 0) / soft
    return np.minimum(first, second) - near * near * soft / 4


def subtract(shape: Array, away: Array, soft: float = 0.04) -> Array:
    """``shape`` without what lies inside ``away``."""
    return -union(-shape, away, soft)


# ---------------------------------------------------------------- what surrounds a cell


def background(scene: Scene, clear: Array) -> None:
    """Plasma and red cells with their central pallor, none nearer to the middle than ``clear``."""
    draws = scene.draws
    plasma = rgb(254, 229, 204)
    scene.colour += plasma + 1.9 * scene.noise(0.3)[..., None]
    slots = 9
    start = draws.uniform(0, 2 * np.pi)
    cover, tone = 0.0, 0.0  # how much of a pixel red cells take, and how pale they are there
    for slot in range(slots):
        angle = start + 2 * np.pi * (slot + draws.uniform(-0.3, 0.3)) / slots
        long, wide = draws.bell(0.180, 0.012), draws.bell(0.174, 0.012)
        # Beyond 0.85 nothing of it is in the picture: so the field is crowded here and empty there.
        far = np.maximum(draws.uniform(0.42, 0.92), clear + long * draws.uniform(0.93, 1.05))
        field = ellipse(scene, *_offset_point(0.5, 0.5, far, angle), long, wide, draws.uniform(0, np.pi))
        depth = np.clip(1 + field / wide, 0, 1.2)  # 0 in the middle, 1 at the edge
        inner = (depth / draws.uniform(0.36, 0.58)) ** 2
        pallor = draws.uniform(0.6, 1.0) * np.exp(-inner * inner)
        cell_alpha = scene.coverage(field, 0.009) * 0.95
        tone = tone + cell_alpha * (pallor - 0.9 * np.clip(depth - 0.6, 0, 0.4) + draws.bell(0, 0.2) - tone)
        cover = cover + cell_alpha * (1 - cover)
    scene.paint(cover, mix(rgb(213, 180, 171), rgb(243, 217, 198), tone))
    # Now and then a platelet lies by.
    angle, far = draws.uniform(0, 2 * np.pi), np.maximum(clear + 0.09, draws.uniform(0.40, 0.62))
    field = blob(scene, 0.5 + far * np.cos(angle), 0.5 + far * np.sin(angle), draws.uniform(0.028, 0.05), 0.25)
    scene.paint(scene.coverage(field, 0.015) * draws.bernoulli(0.3) * 0.8, rgb(160, 118, 172))


def body(scene: Scene, field: Array, colour: Array, edge: float = 0.10) -> Array:
    """A cell's cytoplasm, a little darker at its edge; returns where it is."""
    where = scene.coverage(field, 0.010)
    rim = np.exp(-np.abs(field + 0.008) / 0.014)
    scene.paint(where, shade(colour, 0.022 * scene.noise(0.05) - edge * rim))
    return where


def nucleus(scene: Scene, field: Array, colour: Array, clefts: float, grain: float = 0.020) -> Array:
    """A nucleus: clumps of chromatin with paler clefts between them, and a dark membrane.

    ``clefts`` goes from 0 (dense) to 1 (lacy); ``grain`` is the clumps' width.
    """
    field = field + 0.0016 * scene.noise(0.05)
    where = scene.coverage(field, 0.008)
    mottle = 0.8 * scene.noise(grain) + 0.6 * scene.noise(2.5 * grain)
    membrane = np.exp(-np.abs(field + 0.006) / 0.007)
    chromatin = shade(colour, 0.10 * mottle + 0.05 * scene.noise(0.15) - 0.15 * membrane)
    pale = np.clip((mottle - 1.15 + 0.45 * clefts) * 1.5, 0, 1) * (0.35 + 0.5 * clefts) * (1 - membrane)
    scene.paint(where, mix(chromatin, rgb(172, 122, 172), pale))
    return where


# ---------------------------------------------------------------- the eight kinds


def _cell_position(
    scene: Scene, radius: float, spread: float, stray: float = 0.025
) -> tuple[Array, Array, Array, Array]:
    """x, y, radius and a direction for the cell in the middle."""
    draws = scene.draws
    return (
        draws.bell(0.5, stray),
        draws.bell(0.5, stray),
        draws.bell(radius, spread),
        draws.uniform(0, 2 * np.pi),
    )


def _purple(scene: Scene, red: float = 80, green: float = 48, blue: float = 124) -> Array:
    """The stain of a nucleus, another shade in each cell; (n, 1, 1, 3)."""
    draws = scene.draws
    tone = np.concatenate([draws.bell(c, 5) for c in (red, green, blue)], -1)
    return tone[:, :, None, :].astype(np.float32)


def basophil(scene: Scene) -> None:
    """Coarse dark granules of uneven size over and around a blurred lobed nucleus."""
    draws = scene.draws
    x, y, radius, turn = _cell_position(scene, 0.275, 0.02)
    background(scene, radius)
    field = blob(scene, x, y, radius, 0.10, 0.05) + 0.004 * scene.noise(0.04)
    where = body(scene, field, mix(rgb(196, 160, 192), rgb(222, 186, 200), draws.uniform()))
    lobes = None
    for k in range(3):
        ax, ay = _offset_point(x, y, radius * draws.uniform(0.32, 0.50), turn + 2.09 * k + draws.uniform(-0.3, 0.3))
        lobe = disc(scene, ax, ay, radius * draws.uniform(0.40, 0.50))
        lobes = lobe if lobes is None else union(lobes, lobe, 0.05)
    nucleus(scene, lobes, _purple(scene, 98, 64, 142), 0.7, 0.028)
    fill = draws.uniform(0.25, 1.0)  # some cells are stuffed with granules, some have spilt them
    scene.granules(where, rgb(112, 62, 132), 900, 0.0105, 0.55, seed=21)
    for seed, share in ((22, 0.75), (23, 0.55)):
        near, _, value = scene.cells(560, seed)
        coarse = scene.coverage(near - (0.011 + 0.012 * value), 0.005) * (value < share * fill)
        scene.paint(coarse * where, shade(rgb(62, 30, 98), 0.5 * (value - 0.3) - 0.2 * np.exp(-near / 0.006)))


def eosinophil(scene: Scene) -> None:
    """Two lobes (now and then three) at the sides of a body packed with even orange-red granules."""
    draws = scene.draws
    x, y, radius, turn = _cell_position(scene, 0.325, 0.018)
    background(scene, radius)
    field = blob(scene, x, y, radius, 0.07, 0.06)
    where = body(scene, field, mix(rgb(240, 198, 180), rgb(232, 184, 178), draws.uniform()))
    warm = mix(rgb(212, 112, 88), rgb(202, 112, 112), draws.uniform())
    for seed in (31, 32):  # two layers of round granules of one size, which break the light
        near, _, value = scene.cells(1500, seed)
        packed = scene.coverage(near - 0.0125, 0.007) * scene.coverage(field + 0.014, 0.02)
        glint = 0.14 * np.exp(-((near / 0.006) ** 2))
        scene.paint(packed * where * 0.85, shade(warm, 0.26 * (value - 0.55) + glint))
    spread = draws.uniform(1.05, 1.5)  # the lobes lie right and left of the direction `turn`
    lobes = []
    for side in (-1, 1):
        angle = turn + side * spread
        ax, ay = _offset_point(x, y, radius * draws.uniform(0.52, 0.60), angle)
        size = draws.uniform(0.40, 0.47)
        lobes.append((ax, ay, ellipse(scene, ax, ay, radius * size, radius * size * 0.78, angle + np.pi / 2)))
    has_third = draws.bernoulli(0.3)
    third_x, third_y = _offset_point(x, y, radius * 0.60, turn)
    third = disc(scene, third_x, third_y, radius * draws.uniform(0.22, 0.30)) + (1 - has_third)
    shape = union(lobes[0][2], lobes[1][2], 0.03)
    middle_x, middle_y = _offset_point(x, y, radius * 0.30, turn)
    for ax, ay, _ in lobes:  # a thread joins them
        to_x, to_y = middle_x + has_third * (third_x - middle_x), middle_y + has_third * (third_y - middle_y)
        shape = union(shape, rod(scene, ax, ay, to_x, to_y, 0.013), 0.03)
    nucleus(scene, union(shape, third, 0.03), _purple(scene, 76, 46, 122), 0.75)


def erythroblast(scene: Scene) -> None:
    """A very dense round nucleus in grey-blue to grey-pink cytoplasm without granules."""
    draws = scene.draws
    x, y, radius, turn = _cell_position(scene, 0.212, 0.026)
    background(scene, radius)
    field = blob(scene, x, y, radius, 0.14, 0.10) + 0.003 * scene.noise(0.06)
    age = draws.uniform()  # the older, the pinker and the smaller the nucleus
    body(scene, field, mix(rgb(140, 130, 170), rgb(188, 164, 178), age), edge=0.14)
    ax, ay = _offset_point(x, y, radius * draws.uniform(0.04, 0.22), turn)
    inner = radius * (0.68 - 0.14 * age + draws.bell(0, 0.03))
    halo = disc(scene, ax, ay, inner + 0.018)
    scene.paint(scene.coverage(halo, 0.03) * 0.35, rgb(206, 188, 204))
    nucleus(scene, blob(scene, ax, ay, inner, 0.05, 0.03), _purple(scene, 54, 30, 98), 0.3, 0.030)


def immature(scene: Scene) -> None:
    """Promyelocyte to metamyelocyte: a large round to indented nucleus of fine chromatin, granules."""
    draws = scene.draws
    x, y, radius, turn = _cell_position(scene, 0.325, 0.026)
    background(scene, radius)
    field = blob(scene, x, y, radius, 0.10, 0.08)
    age = draws.uniform()  # 0 promyelocyte, 1 metamyelocyte
    where = body(scene, field, mix(rgb(168, 152, 196), rgb(216, 186, 200), age))
    # The Golgi zone: a pale yard beside the nucleus.
    gx, gy = _offset_point(x, y, radius * 0.45, turn)
    scene.paint(scene.coverage(disc(scene, gx, gy, radius * 0.35), 0.14) * where * 0.45, rgb(232, 206, 208))
    scene.granules(where, rgb(146, 84, 158), 2600, 0.0058, 0.75, seed=29)
    ax, ay = _offset_point(x, y, -radius * draws.uniform(0.18, 0.30), turn)
    long, wide = radius * (0.74 - 0.08 * age), radius * (0.66 - 0.16 * age)
    shape = ellipse(scene, ax, ay, long, wide, turn + np.pi / 2)
    nx, ny = _offset_point(ax, ay, wide * (1.50 - 0.45 * age), turn)
    shape = subtract(shape, disc(scene, nx, ny, wide * (0.30 + 0.32 * age)), 0.05) + 0.003 * scene.noise(0.09)
    nucleus(scene, shape, _purple(scene, 96, 60, 138), 0.5, 0.015)
    # Azurophil granules of the young ones lie over the nucleus too.
    azure = np.clip(1.25 - 1.4 * age, 0, 1)
    scene.granules(where * azure, rgb(122, 40, 118), 1500, 0.0088, 0.6, seed=24)


def lymphocyte(scene: Scene) -> None:
    """A dense round nucleus that leaves a thin blue rim."""
    draws = scene.draws
    x, y, radius, turn = _cell_position(scene, 0.222, 0.018)
    large = draws.bernoulli(0.25)
    radius = radius * (1 + 0.18 * large)
    background(scene, radius)
    field = blob(scene, x, y, radius, 0.07, 0.05) + 0.0035 * scene.noise(0.035)
    body(scene, field, mix(rgb(134, 146, 200), rgb(176, 186, 220), draws.uniform()), edge=0.16)
    ax, ay = _offset_point(x, y, radius * draws.uniform(0.02, 0.09), turn)
    inner = radius * (draws.uniform(0.80, 0.90) - 0.10 * large)
    shape = blob(scene, ax, ay, inner, 0.06, 0.04)
    nx, ny = _offset_point(ax, ay, inner * 1.25, turn + np.pi)
    shape = subtract(shape, disc(scene, nx, ny, inner * draws.uniform(0.15, 0.42)), 0.04)
    nucleus(scene, shape, _purple(scene, 68, 40, 114), 0.3, 0.028)


def monocyte(scene: Scene) -> None:
    """The largest: a kidney-shaped or folded lacy nucleus, grey-blue dusty cytoplasm, vacuoles."""
    draws = scene.draws
    x, y, radius, turn = _cell_position(scene, 0.365, 0.024)
    background(scene, radius)
    field = blob(scene, x, y, radius, 0.20, 0.10) + 0.006 * scene.noise(0.12)
    where = body(scene, field, mix(rgb(164, 158, 190), rgb(186, 176, 196), draws.uniform()))
    scene.granules(where, rgb(146, 116, 168), 3000, 0.0045, 0.6, seed=25)
    for _ in range(4):
        vx, vy = _offset_point(x, y, radius * draws.uniform(0.55, 0.88), turn + draws.uniform(-1.6, 1.6))
        hole = disc(scene, vx, vy, draws.uniform(0.010, 0.022))
        scene.paint(scene.coverage(hole, 0.010) * where * draws.bernoulli(0.7), rgb(236, 222, 222))
    ax, ay = _offset_point(x, y, -radius * draws.uniform(0.08, 0.22), turn)
    long, wide = radius * draws.uniform(0.72, 0.80), radius * draws.uniform(0.50, 0.58)
    shape = ellipse(scene, ax, ay, long, wide, turn + np.pi / 2)
    for side in (-1, 1):  # the two ends of the kidney bend forward
        lx, ly = _offset_point(*_offset_point(ax, ay, side * long * 0.58, turn + np.pi / 2), radius * 0.17, turn)
        shape = union(shape, disc(scene, lx, ly, radius * draws.uniform(0.28, 0.36)), 0.06)
    nx, ny = _offset_point(ax, ay, wide * draws.uniform(0.98, 1.30), turn + draws.uniform(-0.2, 0.2))
    shape = subtract(shape, disc(scene, nx, ny, wide * draws.uniform(0.30, 0.50)), 0.05) + 0.006 * scene.noise(0.13)
    nucleus(scene, shape, _purple(scene, 104, 70, 142), 0.9, 0.017)


def neutrophil(scene: Scene) -> None:
    """Three to five lobes on a bow, joined by threads, or one bent band; pale pink, finest granules."""
    draws = scene.draws
    x, y, radius, turn = _cell_position(scene, 0.315, 0.018)
    background(scene, radius)
    field = blob(scene, x, y, radius, 0.07, 0.06)
    where = body(scene, field, mix(rgb(232, 204, 202), rgb(218, 188, 200), draws.uniform()), edge=0.09)
    scene.granules(where, rgb(186, 142, 176), 3000, 0.0046, 0.62, seed=26)
    band = draws.bernoulli(0.2)
    lobes = np.maximum(3 + draws.bernoulli(0.62) + draws.bernoulli(0.22), 5 * band)  # 3 to 5
    sweep = draws.uniform(3.1, 4.3) + 0.25 * (lobes - 3)
    shape, before = None, None
    for k in range(5):
        lobe_exists = (k < lobes).astype(np.float32)
        angle = turn + sweep * (np.minimum(k, lobes - 1) / (lobes - 1) - 0.5) + draws.bell(0, 0.08) * (1 - band)
        far = radius * (draws.bell(0.46, 0.05) * (1 - band) + 0.46 * band)
        cx, cy = _offset_point(x, y, far, angle)
        size = radius * (draws.uniform(0.25, 0.34) * (1 - band) + 0.235 * band) * (1 - 0.05 * (lobes - 3))
        lobe = ellipse(scene, cx, cy, size * 1.18, size * 0.98, angle + np.pi / 2) + (1 - lobe_exists)
        shape = lobe if shape is None else union(shape, lobe, 0.014)
        if before is not None:
            thread = rod(scene, *before, cx, cy, 0.011 + (radius * 0.20 - 0.011) * band)
            shape = union(shape, thread, 0.016)
        before = (cx, cy)
    nucleus(scene, shape, _purple(scene, 74, 44, 120), 0.6)


def platelet(scene: Scene) -> None:
    """A small frayed disc, pale at its edge and full of purple granules in its middle."""
    draws = scene.draws
    x, y, radius, _ = _cell_position(scene, 0.112, 0.020)
    background(scene, radius)
    field = blob(scene, x, y, radius, 0.22, 0.14) + 0.008 * scene.noise(0.035)
    where = scene.coverage(field, 0.026)
    scene.paint(where * 0.9, mix(rgb(206, 188, 212), rgb(186, 160, 200), draws.uniform()))
    middle = scene.coverage(field + radius * 0.30, 0.05)
    scene.paint(middle * 0.45, rgb(146, 100, 166))
    scene.granules(where * np.clip(middle + 0.25, 0, 1), rgb(112, 58, 140), 2200, 0.0098, 0.85, seed=27)
    scene.granules(middle, rgb(86, 40, 118), 1100, 0.0100, 0.5, seed=28)


KINDS: tuple[Callable[[Scene], None], ...] = (
    basophil,
    eosinophil,
    erythroblast,
    immature,
    lymphocyte,
    monocyte,
    neutrophil,
    platelet,
)


def _slide(scene: Scene) -> Array:
    """The finished pictures: each as another slide and lamp would show it, with the camera's grain."""
    draws = scene.draws
    gain = np.stack([draws.bell(1, 0.012) for _ in range(3)], -1) * draws.bell(1, 0.012)[..., None]
    contrast = draws.bell(1.0, 0.06)[..., None]
    picture = (scene.colour - 235) * contrast + 235
    blueish = draws.bernoulli(0.07)[..., None]  # a lamp set colder, as on a few slides: pale parts turn blue
    picture = picture + blueish * rgb(-26, -2, 36) * (picture.mean(-1, keepdims=True) / 232) ** 4
    row, column = (draws.uniform() * TILE).astype(int).ravel(), (draws.uniform() * TILE).astype(int).ravel()
    down = (row[:, None] + np.arange(scene.size)) % TILE
    across = (column[:, None] + np.arange(scene.size)) % TILE
    return picture * gain + 1.6 * _grain()[down[:, :, None], across[:, None, :]]


def draw_cells_by_class(labels: Array, size: int, seed: int) -> Array:
    """Drawn cells, uint8 (N, size, size, 3) RGB, one for each class index (0 to 7) in ``labels``."""
    labels = np.asarray(labels, dtype=np.int64).reshape(-1)
    if labels.size and not (labels.min() >= 0 and labels.max() < len(KINDS)):
        raise ValueError(f"class indices go from 0 to {len(KINDS) - 1}")
    zoom = 1 if size >= 56 else -(-56 // size)  # a very small picture is drawn larger, then averaged
    side = size * zoom
    pictures = np.empty((len(labels), size, size, 3), np.uint8)
    seeds = np.random.SeedSequence(seed).spawn(len(labels))
    chunk = max(1, CHUNK_PIXELS // side**2)
    for kind, paint in enumerate(KINDS):
        members = np.flatnonzero(labels == kind)
        for start in range(0, len(members), chunk):
            rows = members[start : start + chunk]
            numbers = np.stack([np.random.default_rng(seeds[i]).random(NUMBERS, np.float32) for i in rows])
            scene = Scene(RandomColumns(numbers), len(rows), side)
            paint(scene)
            picture = _slide(scene)
            if zoom > 1:
                picture = picture.reshape(len(rows), size, zoom, size, zoom, 3).mean((2, 4))
            pictures[rows] = np.clip(picture + 0.5, 0, 255)
    return pictures
