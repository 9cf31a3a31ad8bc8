"""Robustness: what corrupted images cost a run. Eleven corruptions at five severities, with numpy and Pillow.

Which ones, and how strong, follows MedMNIST-C for BloodMNIST (Di Salvo, Doerrich and Ledig 2024,
https://arxiv.org/abs/2406.17536). Its parameters are meant for images of 224 px. Here they are carried over to any
side S so that the same slide is corrupted alike:

- lengths (blur, motion, bubbles, deposits) are fractions of the image: multiplied by S / 224, also to parts of a pixel;
- what happens to the stored file (pixelate, JPEG) stays relative to the image's own pixels: '.25' of them are kept,
  so at 64 px as few as 16 a side, and JPEG's blocks are 8 of them. A small image loses more by these two;
- brightness, contrast and colour know no lengths.

Departures: the motion's blur is centred, so that the cell stays where it is; a grey pixel has no hue that could be
strengthened and stays grey; deposits are drawn, since the original's scanned ones are files of its package. What is
drawn by chance depends on the seed and the image alone, and a higher severity adds to a lower one.
"""

import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from scipy import fft
from scipy.special import j1

from core.datasets import LoadedDataset
from core.errors import HemaLensError
from core.evaluation.metrics import balanced_accuracy
from core.inference import engine
from core.inference.predictor import Predictor
from core.probabilities import wilson_interval
from core.progress import Report, batches, part, silent
from core.runs import Run

SEVERITIES = (1, 2, 3, 4, 5)
_REFERENCE_SIZE = 224  # px: the side that the published lengths belong to

CorruptFn = Callable[[np.ndarray, Any, Sequence[np.random.Generator]], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """One way to corrupt a picture.

    ``name`` is MedMNIST-C's; ``title`` and ``cause`` are for people. ``levels`` holds what each of the five severities
    means to ``apply(images, level, rngs)``, which takes and gives uint8 (N, S, S, 3), with one generator a picture.
    """

    name: str
    title: str
    cause: str
    levels: tuple[Any, ...]
    apply: CorruptFn


def corrupt(images: np.ndarray, name: str, severity: int, seed: int = 0) -> np.ndarray:
    """``images`` uint8 (N, S, S, 3) with corruption ``name`` of `CORRUPTIONS` at ``severity`` 1 to 5.

    A new array of the same shape. A picture comes out the same whichever others stand beside it. Raises ValueError
    for another name, severity, type or shape.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise ValueError(f"{name!r} at severity {severity}: there are {', '.join(CORRUPTIONS)} at 1 to 5")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise ValueError(f"expected square uint8 pictures (N, S, S, 3), not {images.dtype} {images.shape}")
    if not len(images):
        return images.copy()
    corruption = CORRUPTIONS[name]
    salt = zlib.crc32(name.encode())
    rngs = [np.random.default_rng([seed, salt, zlib.crc32(np.ascontiguousarray(image).data)]) for image in images]
    return corruption.apply(images, corruption.levels[severity - 1], rngs)


# ------------------------------------------------------------------------------------------------ the stored file


def _map_images(images: np.ndarray, transform: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """``transform`` done to one picture after another."""
    return np.stack([np.asarray(transform(Image.fromarray(image))) for image in images])


def _pixelate(images: np.ndarray, fraction: float, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Reduced to ``fraction`` of its pixels a side, and enlarged again as squares."""
    side, box = images.shape[1], Image.Resampling.BOX
    few = max(1, int(side * fraction))
    return _map_images(images, lambda picture: picture.resize((few, few), box).resize((side, side), box))


def _jpeg(images: np.ndarray, quality: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Written and read again as JPEG of this ``quality`` (1 to 95)."""

    def stored(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file, formats=["JPEG"])

    return _map_images(images, stored)


# ------------------------------------------------------------------------------------------------ the optics


def _filter_frequencies(images: np.ndarray, transfer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """``images`` times ``transfer(fy, fx)``, frequencies in cycles a pixel; edges are mirrored.

    A filter given by its frequencies may be as narrow as a part of a pixel, which a small picture needs.
    ``transfer`` gives (H, W/2 + 1), or (N, H, W/2 + 1) for a filter of each picture's own.
    """
    side, pad = images.shape[1], images.shape[1] // 4 + 1
    wide = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="symmetric").astype(np.float32)
    height = wide.shape[1]
    gain = transfer(fft.fftfreq(height)[:, None], fft.rfftfreq(height)[None, :]).astype(np.complex64)
    waves = fft.rfft2(wide, axes=(1, 2)) * gain[..., None]
    filtered = fft.irfft2(waves, s=(height, height), axes=(1, 2))[:, pad : pad + side, pad : pad + side]
    return _to_uint8(filtered)


def _defocus(images: np.ndarray, radius: float, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Each point spread to a disc of ``radius`` px at 224 px: what a lens out of focus does."""
    scaled = radius * images.shape[1] / _REFERENCE_SIZE

    def disc(fy: np.ndarray, fx: np.ndarray) -> np.ndarray:
        x = 2 * np.pi * scaled * np.hypot(fy, fx)
        return np.divide(2 * j1(x), x, out=np.ones_like(x), where=x > 0)

    return _filter_frequencies(images, disc)


def _motion(images: np.ndarray, level: tuple[float, float], rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Smeared along a line within 45 degrees of level: half a Gaussian of ``level`` (reach, sigma) px at 224 px."""
    reach, sigma = level
    steps = np.arange(2 * reach + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    steps = (steps - steps @ weights) * images.shape[1] / _REFERENCE_SIZE
    angles = np.radians([rng.uniform(-45, 45) for rng in rngs])[:, None, None]

    def line(fy: np.ndarray, fx: np.ndarray) -> np.ndarray:
        along = np.cos(angles) * fx + np.sin(angles) * fy
        # Powers of one turn by one step: cheaper than as many exponentials.
        turn = np.exp(-2j * np.pi * along * (steps[1] - steps[0]))
        gain = np.zeros_like(turn)
        for weight in weights[::-1]:
            gain = gain * turn + weight
        return gain * np.exp(-2j * np.pi * along * steps[0])

    return _filter_frequencies(images, line)


# ------------------------------------------------------------------------------------------------ light and colour


def _brightness(images: np.ndarray, factor: float, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    return _map_images(images, lambda picture: ImageEnhance.Brightness(picture).enhance(factor))


def _contrast(images: np.ndarray, factor: float, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Distance from the picture's mean grey times ``factor``."""
    return _map_images(images, lambda picture: ImageEnhance.Contrast(picture).enhance(factor))


def _saturate(images: np.ndarray, increase: float, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """``increase`` added to the saturation (0 to 1) of hue, saturation and value; the other two stay."""
    pixels = images.astype(np.float32)
    value = pixels.max(axis=-1, keepdims=True)
    spread = value - pixels.min(axis=-1, keepdims=True)
    saturation = np.divide(spread, value, out=np.zeros_like(value), where=value > 0)
    target = np.minimum(saturation + increase, 1)
    factor = np.divide(target, saturation, out=np.ones_like(value), where=saturation > 0)
    return _to_uint8(value - (value - pixels) * factor)


# ------------------------------------------------------------------------------------------------ on the slide


def _coverage_mask(
    draw: Callable[[np.random.Generator], Image.Image], rng: np.random.Generator, side: int
) -> np.ndarray:
    """How much of each pixel is covered, 0 to 1 (S, S, 1): ``draw``'s grey picture of 224 px, brought to ``side``."""
    mask = draw(rng).resize((side, side), Image.Resampling.BOX if side < _REFERENCE_SIZE else Image.Resampling.BILINEAR)
    return np.asarray(mask, np.float32)[..., None] / 255


def _deposits(images: np.ndarray, level: tuple[int, float], rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """Dark, ragged specks of stain: 1 to ``level[0]`` of them, 10 to 18 px in radius times ``level[1]`` at 224 px."""
    max_count, larger = level

    def draw(rng: np.random.Generator) -> Image.Image:
        cover = Image.new("L", (_REFERENCE_SIZE, _REFERENCE_SIZE))
        pen, number = ImageDraw.Draw(cover), 1 + int(rng.random() * max_count)
        turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        for _ in range(number):
            radius, x, y = larger * rng.uniform(10, 18), *rng.uniform(30, _REFERENCE_SIZE - 30, 2)
            edge = 1 + sum(0.3 / k * np.sin(k * turns + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5, 8))
            outline = np.stack([x + radius * edge * np.cos(turns), y + radius * edge * np.sin(turns)], axis=1)
            pen.polygon([tuple(point) for point in outline], fill=235)
        return cover.filter(ImageFilter.GaussianBlur(2))

    return _to_uint8(
        np.stack([image * (1 - _coverage_mask(draw, r, len(image))) for image, r in zip(images, rngs, strict=True)])
    )


def _bubbles(images: np.ndarray, level: tuple[int, int], rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """White see-through discs with a brighter rim: 7 to ``level[1]`` of 3 to ``level[0]`` px in radius at 224 px."""
    widest, max_count = level
    rim, clear, bright = 2, 100, 130  # px, and how much of 255 is white

    def draw(rng: np.random.Generator) -> Image.Image:
        cover = Image.new("L", (_REFERENCE_SIZE, _REFERENCE_SIZE))
        pen, number = ImageDraw.Draw(cover), 7 + int(rng.random() * (max_count - 6))
        for share, *place in rng.random((number, 3)):
            radius = 3 + int(share * (widest - 2))
            x, y = (radius + p * (_REFERENCE_SIZE - 2 * radius) for p in place)
            for reach, white in ((radius + rim, bright), (radius, clear)):
                pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=white)
        return cover

    covers = [_coverage_mask(draw, rng, images.shape[1]) for rng in rngs]
    return _to_uint8(np.stack([image + (255.0 - image) * cover for image, cover in zip(images, covers, strict=True)]))


def _to_uint8(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels).clip(0, 255).astype(np.uint8)


_MOTION, _PIXELS = ((3, 3), (5, 5), (10, 5), (10, 7), (10, 9)), (0.6, 0.5, 0.4, 0.3, 0.25)
_BRIGHTER, _LESS = (1.1, 1.2, 1.3, 1.35, 1.4), (0.9, 0.8, 0.7, 0.6, 0.5)
_CONTRASTS, _COLOURS = (1.1, 1.15, 1.2, 1.25, 1.3), (0.05, 0.1, 0.15, 0.17, 0.2)
_DEPOSITS, _BUBBLES = ((1, 1), (2, 1), (3, 1), (3, 1.25), (3, 1.5)), ((5, 10), (7, 10), (10, 10), (12, 12), (15, 12))
_ALL_CORRUPTIONS = (
    Corruption("defocus_blur", "Out of focus", "the lens is not focused on the cell", (2, 3, 4, 5, 6), _defocus),
    Corruption("motion_blur", "Motion blur", "the stage moved while the picture was taken", _MOTION, _motion),
    Corruption("pixelate", "Too few pixels", "saved too small and enlarged again", _PIXELS, _pixelate),
    Corruption("jpeg_compression", "JPEG compression", "saved as a very small JPEG file", (50, 30, 15, 10, 7), _jpeg),
    Corruption("brightness_up", "Too bright", "the lamp or the exposure is too strong", _BRIGHTER, _brightness),
    Corruption("brightness_down", "Too dark", "the lamp or the exposure is too weak", _LESS, _brightness),
    Corruption("contrast_up", "More contrast", "the camera sharpens the contrast", _CONTRASTS, _contrast),
    Corruption("contrast_down", "Less contrast", "a pale stain, or stray light", _LESS, _contrast),
    Corruption("saturate", "Stronger colour", "a strong stain, or the camera's colours", _COLOURS, _saturate),
    Corruption("stain_deposit", "Stain deposits", "precipitate of the stain lies on the cell", _DEPOSITS, _deposits),
    Corruption("bubble", "Bubbles", "air is enclosed in oil or mounting medium", _BUBBLES, _bubbles),
)
CORRUPTIONS: dict[str, Corruption] = {way.name: way for way in _ALL_CORRUPTIONS}


# Balanced error of MedMNIST-C's AlexNet on BloodMNIST-C at 224 px, mean over severities: the paper's errors BE and rBE
# are shares of these (arXiv:2406.17536, section 3; figures from https://github.com/francescodisalvo05/medmnistc-api).
ALEXNET_CLEAN = 0.01837
ALEXNET = {
    "pixelate": 0.05976,
    "jpeg_compression": 0.13976,
    "defocus_blur": 0.22400,
    "motion_blur": 0.18452,
    "brightness_up": 0.06946,
    "brightness_down": 0.07901,
    "contrast_up": 0.05215,
    "contrast_down": 0.07966,
    "saturate": 0.03479,
    "stain_deposit": 0.18536,
    "bubble": 0.12899,
}
_DIGITS = 4


def stratified_sample(labels: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Places int (min(n, N),), ascending, of pictures drawn so that each class keeps its share of ``labels`` (N,).

    They depend on the labels, ``n`` and the seed alone, so they are the same cells at every picture size.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        turn[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return np.sort(order[np.argsort(turn[order], kind="stable")[:n]])


def robustness_summary(
    labels: np.ndarray, clean: np.ndarray, corrupted: Mapping[str, Sequence[np.ndarray]], *, relative: bool = True
) -> dict[str, Any]:
    """Figures (0 to 1) of answers on the same N cells, clean and corrupted.

    ``labels`` int (N,), ``clean`` probabilities (N, C), ``corrupted`` five such arrays a corruption, by severity.
    ``clean`` and each of ``corruptions`` have ``accuracy``, ``balanced_error`` (1 - mean sensitivity) and
    ``confidence`` (mean probability of the answer): a figure, or one a severity. ``mean_accuracy`` is over severities,
    and at the top over all corruptions. An ``..._interval`` is Wilson's at 95 % for N cells, which for means errs
    on the wide side: several answers on one cell count once. With ``relative`` (BloodMNIST only) ``be`` and ``rbe``
    are MedMNIST-C's errors, those of its AlexNet being 1: its pictures are of 224 px, so compare them with care.
    """
    labels, n = np.asarray(labels), len(labels)
    figures = {name: _by_severity(labels, answers) for name, answers in corrupted.items()}
    of_clean = {measure: values[0] for measure, values in _by_severity(labels, [clean]).items()}
    summary = {
        "n": n,
        "clean": of_clean | {"accuracy_interval": _rounded_interval(of_clean["accuracy"], n)},
        "corruptions": {name: own | _mean_with_interval(own["accuracy"], n) for name, own in figures.items()},
        **_mean_with_interval([accuracy for own in figures.values() for accuracy in own["accuracy"]], n),
    }
    if relative:
        errors = {name: float(np.mean(own["balanced_error"])) for name, own in figures.items()}
        be = [error / ALEXNET[name] for name, error in errors.items()]
        rbe = [(error - of_clean["balanced_error"]) / (ALEXNET[name] - ALEXNET_CLEAN) for name, error in errors.items()]
        summary |= {"be": round(float(np.mean(be)), _DIGITS), "rbe": round(float(np.mean(rbe)), _DIGITS)}
    return summary


def worst_corruption(figures: Mapping[str, Any]) -> str:
    """The name of the corruption that costs the most accuracy, of what `robustness_summary` gave."""
    return min(figures["corruptions"], key=lambda name: figures["corruptions"][name]["mean_accuracy"])


def _by_severity(labels: np.ndarray, answers: Sequence[np.ndarray]) -> dict[str, list]:
    hits = [probabilities.argmax(1) == labels for probabilities in answers]
    return {
        "accuracy": [round(float(hit.mean()), _DIGITS) for hit in hits],
        "balanced_error": [round(1 - balanced_accuracy(labels, hit), _DIGITS) for hit in hits],
        "confidence": [round(float(probabilities.max(1).mean()), _DIGITS) for probabilities in answers],
    }


def _mean_with_interval(accuracies: Sequence[float], n: int) -> dict[str, Any]:
    mean = float(np.mean(accuracies))
    return {"mean_accuracy": round(mean, _DIGITS), "mean_accuracy_interval": _rounded_interval(mean, n)}


def _rounded_interval(fraction: float, n: int) -> list[float]:
    return [round(bound, _DIGITS) for bound in wilson_interval(fraction * n, n)]


TEST_CELLS = 800
_REFERENCE_DATASET = "bloodmnist"  # the data set that the paper's own figures are of


def evaluate_robustness(
    run: Run,
    data: LoadedDataset,
    cells: int = TEST_CELLS,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Figures of ``run`` on ``cells`` test pictures of ``data`` (0: all), clean and spoilt; see `robustness_summary`.

    The pictures are drawn by class with ``seed``, the same ones for every run of the data set. Beside the figures
    stand which pictures they are of: ``split``, ``of`` (how many there are), ``seed``, ``size``, ``provenance``,
    ``content_hash``. Raises `HemaLensError` where there are no test pictures or ``cells`` is negative.
    """
    test = data["test"]
    if cells < 0 or not len(test):
        raise HemaLensError(
            f"{run.name} can't be asked about {cells} of {len(test)} test pictures: give a number from 1, or 0 for all."
        )
    chosen = stratified_sample(test.labels, cells or len(test), seed)
    images, labels = np.stack([test.images[row] for row in chosen]), np.asarray(test.labels)[chosen]
    predictor, conditions = Predictor(run), [("", 0), *product(CORRUPTIONS, SEVERITIES)]
    answers = []
    for number, (name, severity) in enumerate(conditions):
        stage = part(
            report, number / len(conditions), 1 / len(conditions), total=len(labels) * len(conditions), unit="image"
        )
        title = f"{CORRUPTIONS[name].title} {severity}" if severity else "clean"
        probabilities = []
        for rows in batches(len(images), engine.BATCH, stage, title):
            crops = corrupt(images[rows], name, severity, seed) if severity else images[rows]
            probabilities.append(predictor.predict_crops(crops).probabilities)
        answers.append(np.concatenate(probabilities))
    clean, *others = answers
    per_name = len(SEVERITIES)
    corrupted = {name: others[k * per_name : (k + 1) * per_name] for k, name in enumerate(CORRUPTIONS)}
    facts = {
        "split": "test",
        "test_images": len(test),
        "seed": seed,
        "size": run.size,
        "provenance": data.provenance.label,
        "content_hash": data.provenance.content_hash,
    }
    relative = run.dataset == _REFERENCE_DATASET and set(corrupted) == set(ALEXNET)
    return facts | robustness_summary(labels, clean, corrupted, relative=relative)
