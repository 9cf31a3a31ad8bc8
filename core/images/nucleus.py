"""Finds the white cell in a picture of a smear by the stain of its nucleus, whatever the tint of lamp and dye.

Everything is measured in optical density against the picture's own background, so that a gain of any channel cancels.
Nuclei absorb green most and one of red and blue least, red cells absorb less and more evenly: ``2 green - min(red,
blue)`` stands out at every laboratory that we looked at (May Grünwald-Giemsa, Wright, Giemsa by phone camera, a tinted
low-cost microscope), while a red cell hardly does, pale or dark, sharp or blurred. Thresholds come from Otsu's method
with three classes: background, red cells and cytoplasm, nucleus (Otsu 1979, https://doi.org/10.1109/TSMC.1979.4310076).
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from core.images.crop import MAX_TIGHT_SIDE

WORKING_SIDE = 128  # the picture's longer side while a cell is sought; a nucleus is then 15 to 60 px across

# A red cell's share of the picture's shorter side, where nobody measured it: in a crop with some surroundings (360 px
# originals of BloodMNIST and the like) and in one cut out to the cell.
_RED_CELL_SHARE = 0.22
_RED_CELL_SHARE_TIGHT = 0.37

_SMOOTHING = 1.5  # px of the working picture
_EROSION_STEPS = 2  # parts that an erosion by so many px removes are rims of red cells, debris or threads
_BINS = 56
# The lobes of one nucleus, in red-cell diameters (7.5 micrometres): how far apart, and how far the whole reaches.
_MAX_LOBE_GAP = 0.85
_MAX_NUCLEUS_REACH = 2.0
_CENTRE_SPREAD = 0.18  # of the picture's sides: how far from the middle the cell of interest may lie
_SEEDS = 4
# How far the cell reaches beyond its nucleus, in red-cell diameters: against the boxes drawn by hand in two
# laboratories no search for cytoplasm did better than this (median overlap .8).
_CYTOPLASM_RIM = 0.23
# The frame's centre is the middle of all lobes, but never further from their centre of mass than this share of a red
# cell (6 px at home).
_MAX_CENTRE_SHIFT = 0.08
_MIN_SURROUNDINGS = 20
_OTHER_CELL_SHARE = 0.4
_MIN_FILL = 0.25  # of the box round all lobes that they fill: specks of noise fill less, 1,400 nuclei .33 and more
_MIN_AREA = 0.06  # square red-cell diameters; the smallest platelet of the originals has .2
_CONFIDENCE_OFFSET = -0.6
# Optical density in blue against that in green. Haemoglobin absorbs blue as strongly as green, the stains of a nucleus
# hardly: red cells have .3 to 1, 1,400 nuclei in four laboratories .24 at the median and two of them more than this.
_MAX_BLUE_RATIO = 0.6
# A second nucleus, against the picture's first: how large at least, how far away in diameters of it (lobes of one lie
# nearer, mostly), how well it fills its box, how strongly it is stained; and how much of it the border may cut.
_SECOND_AREA, _SECOND_DISTANCE, _SECOND_FILL, _SECOND_STAIN, _SECOND_CUT = 0.35, 1.1, 0.45, 0.6, 0.5
_NUCLEI_COMPARED = 4
_FIRST_GUESS = 1.15  # red-cell diameters by the largest part's: two lobes are taken together, two round nuclei not


@dataclass(frozen=True)
class WhiteCell:
    """A white cell, all in pixels of the picture it was found in.

    ``x``, ``y``: where a frame should be centred. ``nucleus``: (x, y) of the nucleus's centre of mass. ``box``:
    (left, top, right, bottom) of the cell, its cytoplasm guessed by a rim of usual width;
    ``nucleus_box`` of all lobes. ``area``: of the nucleus in square px. ``contrast``: how much more stain (optical
    density) the nucleus holds than its surroundings. ``confidence``: 0 to 1; a cell is found from 0.5 on.
    """

    x: float
    y: float
    nucleus: tuple[float, float]
    box: tuple[float, float, float, float]
    nucleus_box: tuple[float, float, float, float]
    area: float
    contrast: float
    confidence: float


@dataclass(frozen=True)
class StainedParts:
    """The stained parts of a picture, before it is decided which of them make the cell's nucleus.

    ``density`` float32 (h, w, 3): optical density of the reduced picture against its background; ``stain``
    float32 (h, w): how nucleus-like; ``threshold`` that it must pass and ``lower``, from which on a place is no
    background; ``labels`` int (h, w) numbers the ``count`` parts from 1; ``factor``: px of the picture per px here.
    """

    density: np.ndarray
    stain: np.ndarray
    lower: float
    threshold: float
    labels: np.ndarray
    count: int
    factor: float


def reduce(pixels: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """``pixels`` uint8 (H, W, 3) averaged to ``side`` px on the longer side: float32 (h, w, 3), and the factor."""
    height, width = pixels.shape[:2]
    factor = max(height, width) / side
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float32), factor


def optical_density(pixels: np.ndarray, background: float = 95) -> np.ndarray:
    """Optical density float32 (h, w, 3) of ``pixels`` (h, w, 3), 0 to 255, against a percentile of each channel."""
    bright = np.percentile(pixels.reshape(-1, 3), background, axis=0).astype(np.float32)
    return np.log((bright + 4) / (pixels + 4))


def nucleus_stain(density: np.ndarray) -> np.ndarray:
    """How nucleus-like each place of ``density`` (h, w, 3), optical density of red, green and blue, is: (h, w)."""
    return 2 * density[..., 1] - np.minimum(density[..., 0], density[..., 2])


def stained_parts(pixels: np.ndarray) -> StainedParts | None:
    """What in ``pixels`` uint8 (H, W, 3) RGB is stained like a nucleus; None where nothing stands out."""
    small, factor = reduce(pixels, WORKING_SIDE)
    density = optical_density(small)
    stain = ndimage.gaussian_filter(nucleus_stain(density), _SMOOTHING)
    thresholds = three_class_thresholds(stain)
    if thresholds is None:
        return None
    mask = stain > thresholds[1]
    thick = ndimage.binary_erosion(mask, iterations=_EROSION_STEPS)
    if not thick.any():
        return None
    labels, count = ndimage.label(ndimage.binary_dilation(thick, iterations=_EROSION_STEPS, mask=mask))
    return StainedParts(density, stain, *thresholds, labels, count, factor)


def three_class_thresholds(values: np.ndarray) -> tuple[float, float] | None:
    """The two thresholds that split ``values`` into the three classes of the greatest variance between them."""
    low, high = np.quantile(values, (0.001, 0.999))
    if high - low < 1e-3:
        return None
    counts, _ = np.histogram(values, _BINS, (low, high))
    frequencies = counts / counts.sum()
    weight = np.concatenate([[0.0], np.cumsum(frequencies)])
    mean = np.concatenate([[0.0], np.cumsum(frequencies * (np.arange(_BINS) + 0.5))])
    weights = np.subtract.outer(weight, weight).T  # [i, j]: of the bins from i to j
    means = np.subtract.outer(mean, mean).T
    between = np.where(weights > 1e-6, means**2 / np.maximum(weights, 1e-6), 0.0)
    total = between[0][:, None] + between + between[:, -1][None, :]
    total[np.tril_indices(_BINS + 1)] = -1
    first, second = np.unravel_index(total.argmax(), total.shape)
    step = (high - low) / _BINS
    return float(low + first * step), float(low + second * step)


def find_white_cell(pixels: np.ndarray, red_cell: float | None = None) -> WhiteCell | None:
    """The white cell of interest in ``pixels`` uint8 (H, W, 3) RGB: the one with the most stain near the middle.

    ``red_cell`` is the diameter of a red cell in px, where it is known: it decides how far apart the lobes of one
    nucleus may lie, and so tells them from two cells. None where no cell is there.
    """
    parts = stained_parts(pixels)
    if parts is None:
        return None
    height, width = parts.stain.shape
    unit = (red_cell or _typical_red_cell(width * parts.factor, height * parts.factor)) / parts.factor
    members = _nucleus(parts, unit)
    mask = np.isin(parts.labels, members)
    rows, columns = np.nonzero(mask)
    contrast, confidence = _contrast(parts, mask)
    _, green, blue = parts.density[mask].mean(0)
    has_red_cell_colour = blue > _MAX_BLUE_RATIO * green
    if confidence < 0.5 or _is_sparse(mask) or mask.sum() < _MIN_AREA * unit**2 or has_red_cell_colour:
        return None
    mass_x, mass_y = float(columns.mean()), float(rows.mean())
    left, top, right, bottom = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
    # The middle of the lobes, moved towards the centre of mass where it lies too far from that.
    dx, dy = (left + right - 1) / 2 - mass_x, (top + bottom - 1) / 2 - mass_y
    fraction = min(1.0, _MAX_CENTRE_SHIFT * unit / max(float(np.hypot(dx, dy)), 1e-6))
    scale, rim = parts.factor, _CYTOPLASM_RIM * unit
    return WhiteCell(
        (mass_x + fraction * dx + 0.5) * scale,
        (mass_y + fraction * dy + 0.5) * scale,
        ((mass_x + 0.5) * scale, (mass_y + 0.5) * scale),
        (
            float(max(0, left - rim) * scale),
            float(max(0, top - rim) * scale),
            float(min(width, right + rim) * scale),
            float(min(height, bottom + rim) * scale),
        ),
        (left * scale, top * scale, right * scale, bottom * scale),
        float(mask.sum() * scale**2),
        contrast,
        confidence,
    )


def has_two_nuclei(pixels: np.ndarray) -> bool:
    """Whether ``pixels`` uint8 (H, W, 3) RGB seem to show the nuclei of two white cells, both mostly in the picture.

    The largest nucleus gives the scale. Lobes far from each other may pass for two, so it takes a second witness.
    """
    parts = stained_parts(pixels)
    if parts is None:
        return False
    numbers = np.arange(1, parts.count + 1)
    mass = ndimage.sum_labels(parts.stain - parts.threshold, parts.labels, numbers)
    slices = ndimage.find_objects(parts.labels)
    seeds = [int(seed) for seed in np.argsort(-mass)]
    areas = np.bincount(parts.labels.ravel(), minlength=parts.count + 1)[1:]
    unit = _FIRST_GUESS * _diameter(areas[seeds[0]])
    for _ in range(_NUCLEI_COMPARED):  # of a segmented nucleus its largest lobe is but a part: all are about a red cell
        unit = _diameter(areas[_grow_group(seeds[0], parts.labels, slices, mass, unit)].sum())
    nuclei: list[np.ndarray] = []
    while seeds and len(nuclei) < _NUCLEI_COMPARED:
        group = [i for i in _grow_group(seeds[0], parts.labels, slices, mass, unit) if i in seeds]
        seeds = [seed for seed in seeds if seed not in group]
        nuclei.append(np.isin(parts.labels, np.array(group) + 1))
    first, *others = nuclei
    return any(_is_second_nucleus(parts, first, other) for other in others)


def _diameter(area: float) -> float:
    """Of a disc of ``area``."""
    return float(2 * np.sqrt(area / np.pi))


def _is_second_nucleus(parts: StainedParts, first: np.ndarray, other: np.ndarray) -> bool:
    """Whether ``other`` (h, w) is a nucleus beside that of ``first``, whole or nearly so."""
    area, whole = float(other.sum()), float(first.sum())
    places, rows, columns = (np.argwhere(first).mean(0), *np.nonzero(other))
    away = np.hypot(rows.mean() - places[0], columns.mean() - places[1])
    cut = other[0].sum() + other[-1].sum() + other[:, 0].sum() + other[:, -1].sum()
    _, green, blue = parts.density[other].mean(0)
    return bool(
        area > _SECOND_AREA * whole
        and away > _SECOND_DISTANCE * _diameter(whole)
        and area > _SECOND_FILL * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        and parts.stain[other].mean() > _SECOND_STAIN * parts.stain[first].mean()
        and cut < _SECOND_CUT * np.sqrt(area)
        and blue < _MAX_BLUE_RATIO * green
    )


def _typical_red_cell(width: float, height: float) -> float:
    shorter = min(width, height)
    tight = max(width, height) <= MAX_TIGHT_SIDE
    return shorter * (_RED_CELL_SHARE_TIGHT if tight else _RED_CELL_SHARE)


def _nucleus(parts: StainedParts, unit: float) -> list[int]:
    """Numbers of the parts that make the most stained nucleus near the middle; ``unit``: a red cell, px here."""
    height, width = parts.stain.shape
    numbers = np.arange(1, parts.count + 1)
    excess = parts.stain - parts.threshold
    mass = ndimage.sum_labels(excess, parts.labels, numbers)
    slices = ndimage.find_objects(parts.labels)
    centres = np.array(ndimage.center_of_mass(np.ones_like(excess), parts.labels, numbers))
    weight = np.sqrt(mass) * _near_middle(centres, height, width)
    best, best_score = [int(numbers[0])], -1.0
    seen_parts: set[int] = set()
    for seed in np.argsort(-weight)[:_SEEDS]:
        if int(seed) in seen_parts:
            continue
        group = _grow_group(int(seed), parts.labels, slices, mass, unit)
        seen_parts.update(group)
        centre = np.average(centres[group], axis=0, weights=mass[group] + 1e-6)
        score = float(np.sqrt(mass[group].sum()) * _near_middle(centre[None], height, width)[0])
        if score > best_score:
            best, best_score = [int(numbers[i]) for i in group], score
    if _is_sparse(np.isin(parts.labels, best)):  # a platelet among others, not the lobes of one nucleus
        best = [max(best, key=lambda number: mass[number - 1])]
    return best


def _is_sparse(mask: np.ndarray) -> bool:
    """Whether ``mask`` (h, w) fills little of the box round it, as specks do that happen to lie together."""
    rows, columns = np.nonzero(mask)
    return bool(len(rows) < _MIN_FILL * (np.ptp(rows) + 1) * (np.ptp(columns) + 1))


def _near_middle(centres: np.ndarray, height: int, width: int) -> np.ndarray:
    offsets = (centres + 0.5) / (height, width) - 0.5
    return np.exp(-(offsets**2).sum(1) / (2 * _CENTRE_SPREAD**2))


def _grow_group(seed: int, labels: np.ndarray, slices: list, mass: np.ndarray, unit: float) -> list[int]:
    """Indices of the parts that belong with part ``seed``: near, and within the reach of one nucleus."""
    group = [seed]
    outlines = {seed: _outline(labels, slices, seed)}
    candidates = [i for i in np.argsort(-mass) if i != seed]
    has_grown = True
    while has_grown and candidates:
        has_grown = False
        group_outline = np.concatenate([outlines[i] for i in group])
        for i in candidates:
            if i not in outlines:
                outlines[i] = _outline(labels, slices, i)
            between = np.hypot(*(outlines[i][:, None] - group_outline[None]).transpose(2, 0, 1))
            if between.min() <= _MAX_LOBE_GAP * unit and between.max() <= _MAX_NUCLEUS_REACH * unit:
                group.append(int(i))
                candidates.remove(i)
                has_grown = True
                break
    return group


def _outline(labels: np.ndarray, slices: list, index: int) -> np.ndarray:
    """Up to about 60 places (n, 2) on the border of part ``index``."""
    part_slice = slices[index]
    part = labels[part_slice] == index + 1
    edge = part & ~ndimage.binary_erosion(part)
    points = np.argwhere(edge) + (part_slice[0].start, part_slice[1].start)
    return points[:: max(1, len(points) // 60)].astype(np.float32)


def _contrast(parts: StainedParts, mask: np.ndarray) -> tuple[float, float]:
    """How much more stain the nucleus holds than what else is no background, and how surely it is one, 0 to 1.

    One of 100 cells of the faintest laboratory falls under .5; so do blank pictures and noise.
    """
    areas = np.bincount(parts.labels.ravel(), minlength=parts.count + 1)
    areas[0] = 0  # the second white cell of a picture is no measure of what surrounds the first
    background = ~ndimage.binary_dilation(mask | (areas >= _OTHER_CELL_SHARE * mask.sum())[parts.labels], iterations=3)
    if not background.any():
        return 0.0, 0.0
    surroundings = background & (parts.stain > parts.lower)
    if surroundings.sum() < _MIN_SURROUNDINGS:
        surroundings = background
    contrast = float(parts.stain[mask].mean() - parts.stain[surroundings].mean())
    if contrast <= 0:
        return contrast, 0.0
    deviations = contrast / max(float(parts.stain[background].std()), 1e-3)
    score = np.log(contrast) + 2 * np.log(deviations) - _CONFIDENCE_OFFSET
    return contrast, float(1 / (1 + np.exp(-1.5 * score)))
