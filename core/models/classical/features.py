"""Features of a cell's image that classical models decide by: one definition for training and for the served graph.

Texture of the grey image from its co-occurrence matrices (Haralick et al. 1973, doi:10.1109/TSMC.1973.4309314),
brightness and how much of the image the cell fills, colour and its change from the centre to the rim, and the shape of
the nucleus, which the stain darkens most in the green channel. Written with matrix products of one-hot levels, so that
training computes it with torch and serving with the very same graph; the texture's numbers are those of
``skimage.feature.graycomatrix`` and ``graycoprops``.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ANGLES = (0, 45, 90, 135)
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
MIN_VARIANCE = 1e-9  # variance of the levels below which a picture has one level only


def to_grey(pixels: Tensor) -> Tensor:
    """Whole grey values 0 to 255, float (N, S, S), of ``pixels`` float (N, 3, S, S) with whole values 0 to 255.

    The weights are Pillow's (ITU-R 601 in 1/65536); all sums stay below 2**24, so that float32 is exact and
    every engine finds the same value.
    """
    red, green, blue = pixels.unbind(1)
    return torch.floor((red * 19595 + green * 38470 + blue * 7471 + 32768) / 65536)


def one_hot(values: Tensor, levels: int) -> Tensor:
    """0 or 1, float (N, levels, ...): which of the whole numbers below ``levels`` each of ``values`` (N, ...) is."""
    numbers = torch.arange(levels, device=values.device).view(1, -1, *(1,) * (values.ndim - 1))
    return (values.unsqueeze(1) == numbers).float()


def pixel_offset(distance: int, angle: int) -> tuple[int, int]:
    """(rows, columns) of the step ``distance`` px at ``angle`` degrees, rounded as scikit-image does."""
    turn = math.radians(angle)
    return round(math.sin(turn) * distance), round(math.cos(turn) * distance)


class FeatureFamily(nn.Module):
    """Features that belong together: float pictures (N, 3, S, S), whole values 0 to 255, to (N, K).

    ``names`` and ``groups`` say of each of the K features what it is and which family it belongs to.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]

    def name_features(self, group: str, *names: str) -> None:
        """Say what the features are that come next."""
        self.names = (*getattr(self, "names", ()), *names)
        self.groups = (*getattr(self, "groups", ()), *(group for _ in names))

    def constant(self, name: str, values: Tensor) -> None:
        """Keep ``values`` as the attribute ``name``, which goes where the module goes and is in no file."""
        self.register_buffer(name, values, persistent=False)


def moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (N, 1), distance from it (N, S * S) and spread (N, 1) of ``values`` (N, S, S), 0 to 255, in 0 to 1."""
    flat = values.flatten(1) / 255
    mean = flat.mean(1, keepdim=True)
    centred = flat - mean
    return mean, centred, (centred**2).mean(1, keepdim=True).sqrt()


class Cooccurrence(FeatureFamily):
    """Five properties of the symmetric co-occurrence matrices at several distances.

    Of the four angles the mean and the range are kept, which a quarter turn or a mirror leaves as they are.
    """

    weights: Tensor
    steps: Tensor

    def __init__(self, size: int, levels: int = 16, distances: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        self.size, self.levels = size, levels
        self.offsets = [pixel_offset(d, a) for d in distances for a in ANGLES]
        # Rows are joined with so many empty pixels between them that no step leads from one row to the next.
        self.gap = max(abs(right) for _, right in self.offsets)
        self.reach = max(down * (size + self.gap) + right for down, right in self.offsets)
        self.distances = tuple(distances)
        steps = torch.arange(levels).float()
        apart = steps.view(-1, 1) - steps.view(1, -1)
        weights = torch.stack([apart**2, apart.abs(), 1 / (1 + apart**2)]).flatten(1).T
        self.constant("weights", weights)  # (levels * levels, 3)
        self.constant("steps", steps)
        places = [f"{d} px{kind}" for kind in ("", ", range over angles") for d in distances]
        for name in PROPERTIES:
            self.name_features(f"Texture: {name}", *(f"{name.capitalize()}, {place}" for place in places))

    def matrices(self, values: Tensor) -> Tensor:
        """Shares (N, distances * angles, levels, levels) of neighbouring levels in ``values`` (N, S, S), 0 to 255."""
        hot = F.pad(one_hot(torch.floor(values * (self.levels / 256)), self.levels), (0, self.gap)).flatten(2)
        length = self.size * (self.size + self.gap)
        behind = F.pad(hot, (0, self.reach))
        matrices = []
        for down, right in self.offsets:
            step = down * (self.size + self.gap) + right
            counts = hot @ behind[:, :, step : step + length].transpose(1, 2)
            pairs = 2 * (self.size - down) * (self.size - abs(right))
            matrices.append((counts + counts.transpose(1, 2)) / pairs)
        return torch.stack(matrices, 1)

    def properties(self, values: Tensor) -> Tensor:
        """(N, 5, distances, angles): `PROPERTIES` of each matrix of ``values`` (N, S, S), whole, 0 to 255."""
        matrices = self.matrices(values)
        contrast, dissimilarity, homogeneity = (matrices.flatten(2) @ self.weights).unbind(2)
        energy = (matrices**2).sum((2, 3)).sqrt()
        levels = matrices.sum(3)
        mean = (levels * self.steps).sum(2, keepdim=True)
        variance = (levels * (self.steps - mean) ** 2).sum(2)
        # In a symmetric matrix the mean of (i - j)**2 is 2 variance (1 - correlation).
        correlation = torch.where(variance > MIN_VARIANCE, 1 - contrast / (2 * variance.clamp(min=MIN_VARIANCE)), 1.0)
        properties = torch.stack([contrast, dissimilarity, homogeneity, energy, correlation], 1)
        return properties.unflatten(2, (len(self.distances), len(ANGLES)))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 5 * 2 * distances) in the order of ``names``."""
        properties = self.properties(to_grey(pixels))
        return torch.cat([properties.mean(3), properties.amax(3) - properties.amin(3)], 2).flatten(1)


PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
DARKER_THAN = (96, 128, 160, 192, 224)


def histogram(values: Tensor) -> Tensor:
    """How many of each of ``values`` (N, ...), whole, 0 to 255, have each value: float (N, 256).

    The product of two tables of 16 digits each takes far less time than a table of 256 or than sorting.
    """
    flat = values.flatten(1)
    high = torch.floor(flat / 16)
    return (one_hot(high, 16) @ one_hot(flat - 16 * high, 16).transpose(1, 2)).flatten(1)


def histogram_percentiles(counted: Tensor, pixels: int, percents: Sequence[int]) -> Tensor:
    """The values (N, len(wanted)) at so many percent of the ranks of ``pixels`` values with `histogram` ``counted``."""
    below = counted.cumsum(1)
    return torch.stack([(below <= round((pixels - 1) * p / 100)).float().sum(1) for p in percents], 1)


def otsu_threshold(counted: Tensor, pixels: int) -> Tensor:
    """The threshold (N,) that parts ``pixels`` values with `histogram` ``counted`` (N, 256) best into two.

    Low values go up to it, high ones lie above (Otsu 1979, doi:10.1109/TSMC.1979.4310076). Where all are alike it
    is their value, so that there always are low ones.
    """
    number = counted.cumsum(1)
    amount = (counted * torch.arange(256, device=counted.device)).cumsum(1)
    gap = amount[:, -1:] * (number / pixels) - amount
    between = gap**2 / (number * (pixels - number)).clamp(min=1)
    least = (number == 0).float().sum(1)
    return torch.maximum(between.argmax(1).float(), least)


class Brightness(FeatureFamily):
    """Moments, percentiles, entropy and histogram of the grey values, all in 0 to 1 but skewness and entropy."""

    def __init__(self, size: int, bins: int = 16) -> None:
        super().__init__()
        self.pixels = size * size
        self.bins = bins
        bounds = [f"{256 * b // bins} to {256 * (b + 1) // bins - 1}" for b in range(bins)]
        self.name_features("Brightness", "Mean brightness", "Spread of brightness", "Skewness of brightness")
        self.name_features("Brightness", *(f"Brightness, percentile {p}" for p in PERCENTILES), "Entropy of brightness")
        self.name_features("Brightness", *(f"Pixels of brightness {b}" for b in bounds))

    def forward(self, pixels: Tensor) -> Tensor:
        values = to_grey(pixels)
        counted = histogram(values)
        mean, centred, spread = moments(values)
        skewness = (centred**3).mean(1, keepdim=True) / spread.clamp(min=1e-3) ** 3
        bin_fractions = counted.unflatten(1, (self.bins, -1)).sum(2) / self.pixels
        entropy = -(bin_fractions * bin_fractions.clamp(min=1e-9).log2()).sum(1, keepdim=True)
        percentiles = histogram_percentiles(counted, self.pixels, PERCENTILES) / 255
        return torch.cat([mean, spread, skewness, percentiles, entropy, bin_fractions], 1)


class CellSize(FeatureFamily):
    """The share of the picture that is darker than fixed values and than its own best threshold; its extent."""

    away: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pixels = size * size
        self.name_features("Size of the cell", *(f"Pixels darker than {t}" for t in DARKER_THAN))
        self.name_features(
            "Size of the cell", *(f"{part} of the dark part" for part in ("Share", "Threshold", "Extent"))
        )
        middle = torch.arange(size).float() / (size - 1) - 0.5
        self.constant("away", middle.view(-1, 1) ** 2 + middle.view(1, -1) ** 2)

    def forward(self, pixels: Tensor) -> Tensor:
        values = to_grey(pixels)
        fixed = torch.stack([(values < t).float().mean((1, 2)) for t in DARKER_THAN], 1)
        threshold = otsu_threshold(histogram(values), self.pixels)
        dark = (values <= threshold.view(-1, 1, 1)).float()
        dark_fraction = dark.mean((1, 2))
        extent = ((dark * self.away).mean((1, 2)) / dark_fraction).sqrt()
        return torch.cat([fixed, torch.stack([dark_fraction, threshold / 255, extent], 1)], 1)


CHANNELS = ("red", "green", "blue")
COLOUR_PERCENTILES = (5, 25, 50, 75, 95)


def saturation(pixels: Tensor) -> Tensor:
    """Whole values 0 to 255, float (N, S, S): greatest minus least channel of ``pixels`` (N, 3, S, S)."""
    return pixels.amax(1) - pixels.amin(1)


class ColourStatistics(FeatureFamily):
    """Mean, spread and percentiles of red, green, blue and of their range, and how the channels go together."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pixels = size * size
        parts = (*CHANNELS, "strength of colour")
        kinds = ("mean", "spread", *(f"percentile {p}" for p in COLOUR_PERCENTILES))
        self.name_features("Colour", *(f"{part.capitalize()}, {kind}" for part in parts for kind in kinds))
        pairs = itertools.combinations(CHANNELS, 2)
        self.name_features("Colour", *(f"Correlation of {one} and {other}" for one, other in pairs))

    def forward(self, pixels: Tensor) -> Tensor:
        statistics, centred, spreads = [], [], []
        for values in (*pixels.unbind(1), saturation(pixels)):
            mean, apart, spread = moments(values)
            centred.append(apart)
            spreads.append(spread)
            percentiles = histogram_percentiles(histogram(values), self.pixels, COLOUR_PERCENTILES) / 255
            statistics += [mean, spread, percentiles]
        for a, b in itertools.combinations(range(len(CHANNELS)), 2):
            together = (centred[a] * centred[b]).mean(1, keepdim=True)
            statistics.append(together / (spreads[a] * spreads[b]).clamp(min=1e-6))
        return torch.cat(statistics, 1)


class ColourHistogram(FeatureFamily):
    """The share of pixels in each cell of a coarse grid over red, green and blue (Swain and Ballard 1991).

    doi:10.1007/BF00130487
    """

    def __init__(self, size: int, levels: int = 4) -> None:
        super().__init__()
        self.pixels = size * size
        self.levels = levels
        bounds = [f"{256 * i // levels}-{256 * (i + 1) // levels - 1}" for i in range(levels)]
        colours = itertools.product(bounds, repeat=3)
        self.name_features("Colour histogram", *(f"Pixels of red {r}, green {g}, blue {b}" for r, g, b in colours))

    def forward(self, pixels: Tensor) -> Tensor:
        red, green, blue = torch.floor(pixels.flatten(2) * (self.levels / 256)).unbind(1)
        rest = one_hot(green * self.levels + blue, self.levels**2)
        return (one_hot(red, self.levels) @ rest.transpose(1, 2)).flatten(1) / self.pixels


class RadialProfile(FeatureFamily):
    """Mean and spread of each channel in rings around the picture's centre, where the cell lies."""

    inside: Tensor
    weights: Tensor

    def __init__(self, size: int, rings: int = 6) -> None:
        super().__init__()
        middle = torch.arange(size).float() - (size - 1) / 2
        away = (middle.view(-1, 1) ** 2 + middle.view(1, -1) ** 2).sqrt() / (size / 2)
        ring = (away * rings).floor().clamp(max=rings)  # the corners are one more ring
        inside = torch.stack([(ring == r).float() for r in range(rings + 1)]).flatten(1)
        self.constant("inside", inside)  # (rings + 1, S * S)
        self.constant("weights", (inside / inside.sum(1, keepdim=True)).T.contiguous())
        places = ("centre", *(f"ring {r + 1}" for r in range(1, rings)), "corners")
        for kind, channel in itertools.product(("mean", "spread"), CHANNELS):
            names = (f"{channel.capitalize()} at {place}, {kind}" for place in places)
            self.name_features("Colour from centre to rim", *names)

    def forward(self, pixels: Tensor) -> Tensor:
        flat = pixels.flatten(2) / 255
        mean = flat @ self.weights
        spread = ((flat - mean @ self.inside) ** 2 @ self.weights).sqrt()
        return torch.cat([mean.flatten(1), spread.flatten(1)], 1)


class NucleusShape(FeatureFamily):
    """Area, place, elongation, outline, lobes and colour of the nucleus, and the colour of what surrounds it."""

    down: Tensor
    right: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        place = (torch.arange(size).float() + 0.5) / size - 0.5
        self.constant("down", place.view(-1, 1).expand(size, size).contiguous())
        self.constant("right", place.view(1, -1).expand(size, size).contiguous())
        self.name_features(
            "Shape of the nucleus",
            "Area of the nucleus",
            "Threshold of the nucleus",
            "Nucleus off the centre",
            "Long axis of the nucleus",
            "Short axis of the nucleus",
            "Elongation of the nucleus",
            "Outline of the nucleus",
            "Outline against area of the nucleus",
            "Lobes less holes of the nucleus",
            "Nucleus within the disc of its area",
            "Spread of the nucleus around its centre",
            "Kurtosis of the nucleus around its centre",
            "Hollow centre of the nucleus",
        )
        parts = ("nucleus", "cytoplasm", "surroundings")
        self.name_features(
            "Nucleus and cytoplasm",
            *("Area of the cytoplasm", "Nucleus against cytoplasm", "Threshold of the cytoplasm"),
            *(f"{c.capitalize()} stain of the {part}" for part in parts for c in CHANNELS),
            *(f"Unevenness of {c} in the {part}" for part in parts[:2] for c in CHANNELS),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        green = pixels[:, 1]
        threshold = otsu_threshold(histogram(green), self.size**2)
        mask = (green <= threshold.view(-1, 1, 1)).float()
        shape = self._shape(mask, threshold)
        # The cytoplasm: of what is no nucleus, what is coloured more than the picture's own best threshold.
        coloured = saturation(pixels) * (1 - mask)
        strong = otsu_threshold(histogram(coloured), self.size**2)
        body = (coloured > strong.view(-1, 1, 1)).float() * (1 - mask)
        rest = (1 - mask) * (1 - body)
        area, around = mask.mean((1, 2)), body.mean((1, 2))
        density = -torch.log((pixels + 1) / 256)
        stain, uneven = [], []
        for part in (mask, body, rest):
            weight = part.unsqueeze(1)
            n = weight.sum((2, 3)).clamp(min=1)
            mean = (density * weight).sum((2, 3)) / n
            stain.append(mean)
            apart = (density - mean.unsqueeze(2).unsqueeze(3)) ** 2
            uneven.append(((apart * weight).sum((2, 3)) / n).sqrt())
        sizes = torch.stack([around, area / (area + around), strong / 255], 1)
        return torch.cat([shape, sizes, *stain, *uneven[:2]], 1)

    def _shape(self, mask: Tensor, threshold: Tensor) -> Tensor:
        """(N, 13) of ``mask`` 0 or 1 (N, S, S), which is never empty; lengths in sides of the picture."""
        area = mask.mean((1, 2))
        n = mask.sum((1, 2))
        y, x = (mask * self.down).sum((1, 2)) / n, (mask * self.right).sum((1, 2)) / n
        dy, dx = self.down - y.view(-1, 1, 1), self.right - x.view(-1, 1, 1)
        yy, xx, xy = ((mask * m).sum((1, 2)) / n for m in (dy * dy, dx * dx, dy * dx))
        root = (((yy - xx) / 2) ** 2 + xy**2).sqrt()
        long, short = (yy + xx) / 2 + root, ((yy + xx) / 2 - root).clamp(min=1e-6)
        padded = F.pad(mask, (1, 1, 1, 1))
        across, along = padded[:, 1:] - padded[:, :-1], padded[:, :, 1:] - padded[:, :, :-1]
        outline = (across.abs().sum((1, 2)) + along.abs().sum((1, 2))) / self.size
        away = dy * dy + dx * dx
        radius = area / math.pi
        disc = (away <= radius.view(-1, 1, 1)).float()
        inner = (away <= radius.view(-1, 1, 1) / 4).float()
        spread = yy + xx
        fourth = (mask * away**2).sum((1, 2)) / n / spread.clamp(min=1e-6) ** 2
        return torch.stack(
            [
                area,
                threshold / 255,
                (y * y + x * x).sqrt(),
                long.clamp(min=0).sqrt(),
                short.sqrt(),
                (1 - short / long.clamp(min=1e-6)).clamp(min=0).sqrt(),
                outline,
                outline**2 / (4 * math.pi * area),
                euler(padded),
                (mask * disc).sum((1, 2)) / n,
                spread / radius,
                fourth,
                (mask * inner).sum((1, 2)) / inner.sum((1, 2)).clamp(min=1),
            ],
            1,
        )


def euler(padded: Tensor) -> Tensor:
    """Parts less holes (N,) of masks 0 or 1 (N, S, S) with an empty rim; corners connect.

    Counted from 2 x 2 windows: Gray 1971, doi:10.1109/T-C.1971.223289.
    """
    a, b, c, d = padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]
    count = a + b + c + d
    single, three, diagonal = ((count == 1).float(), (count == 3).float(), ((count == 2) & (a == d)).float())
    return (single - three - 2 * diagonal).sum((1, 2)) / 4


ROUNDING_STEPS = 2**14  # to the unit: a pixel of a 64 px picture is four of them


class FeatureSet(FeatureFamily):
    """Several families of features side by side.

    No feature changes by a quarter turn or a mirror but for rounding, so that training on turned copies would add
    nothing.
    """

    def __init__(self, families: Sequence[FeatureFamily]) -> None:
        super().__init__()
        self.families = nn.ModuleList(families)
        self.names = tuple(name for family in families for name in family.names)
        self.groups = tuple(group for family in families for group in family.groups)

    def forward(self, pixels: Tensor) -> Tensor:
        values = torch.cat([family(pixels) for family in self.families], 1)
        # Sums in another order differ in the last digits: rounded, they fall on the same side of a split.
        return torch.round(values * ROUNDING_STEPS) / ROUNDING_STEPS


_GREY = (Cooccurrence, Brightness, CellSize)
_COLOUR = (ColourStatistics, ColourHistogram, RadialProfile, NucleusShape)


def grey_and_texture(size: int) -> FeatureSet:
    """What a grey picture gives: co-occurrence texture, brightness, and the size of the cell."""
    return FeatureSet([family(size) for family in _GREY])


def colour_and_shape(size: int) -> FeatureSet:
    """`grey_and_texture`, and beside it colour, its change from the centre to the rim, nucleus and cytoplasm."""
    return FeatureSet([family(size) for family in (*_GREY, *_COLOUR)])


FEATURE_SETS: dict[str, Callable[[int], FeatureSet]] = {"grey": grey_and_texture, "colour": colour_and_shape}
