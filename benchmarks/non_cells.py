"""Drawn pictures that show no cell of a patient, by family: what `benchmarks.cell_check` fits on and measures with."""

import io
import re
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy import ndimage

from core.images.cell_check import CellKind

Draw = Callable[[np.random.Generator, int], np.ndarray]

_WORDS = re.split(
    " ",
    "the cell blood count result patient page total of and in report smear laboratory Monday invoice number value high "
    "low range dear please find attached table figure 12.5 4,380 07/11 % µl room access system window file edit view",
)
_SKIN = np.array([[236, 200, 180], [224, 172, 140], [198, 134, 100], [141, 85, 60], [90, 56, 40]], float)


def blank(rng: np.random.Generator, size: int) -> np.ndarray:
    """One colour, light falling off to a side or to the corners, some grain."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    colour = rng.uniform(0, 255) * np.ones(3) if rng.random() < 0.4 else rng.uniform(0, 255, 3)
    if rng.random() < 0.5:  # the empty background of a smear
        colour = rng.uniform(190, 250) * np.array([1, rng.uniform(0.85, 1), rng.uniform(0.85, 1)])
    fall = 1 - rng.uniform(0, 0.25) * (x**2 + y**2) * 2 + rng.uniform(-0.15, 0.15) * x + rng.uniform(-0.15, 0.15) * y
    return _finish(
        colour * fall[..., None] + rng.normal(0, rng.choice([0, 1, 3]), (size, size, 1 + 2 * (rng.random() < 0.5)))
    )


def noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Noise without structure: grey or coloured, even or bell-shaped, in blocks or softened."""
    block, channels = int(rng.choice([1, 1, 2, 3, 4])), 3 if rng.random() < 0.5 else 1
    side = -(-size // block)
    kind = rng.random()
    if kind < 0.5:
        values = rng.uniform(0, 255, (side, side, channels))
    elif kind < 0.9:
        values = rng.normal(rng.uniform(60, 220), rng.uniform(8, 70), (side, side, channels))
    else:
        values = np.where(rng.random((side, side, channels)) < rng.uniform(0.02, 0.4), rng.choice([0, 255]), 200.0)
    values = values.repeat(block, 0).repeat(block, 1)[:size, :size]
    if rng.random() < 0.3:
        values = ndimage.gaussian_filter(values, (rng.uniform(0.4, 1.5), rng.uniform(0.4, 1.5), 0))
        values = (values - values.mean()) * rng.uniform(1, 3) + values.mean()
    return _finish(values)


def clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    """1/f noise of any steepness between two or three colours, those of stains and of skin among them."""
    levels = _fractal(rng, size, rng.uniform(0.7, 2.2))
    colours = _palette(rng, int(rng.integers(2, 4)))
    if rng.random() < 0.25:
        levels = np.digitize(levels, np.sort(rng.uniform(0.2, 0.8, 3))) / 3
    places = np.linspace(0, 1, len(colours))
    return _finish(np.stack([np.interp(levels, places, colours[:, k]) for k in range(3)], -1))


def skin(rng: np.random.Generator, size: int) -> np.ndarray:
    """Like skin under a camera: a tone, blotches, furrows, pores, some hairs."""
    y, x = np.mgrid[:size, :size] / size
    tone = _SKIN[rng.integers(len(_SKIN))] + rng.normal(0, 6, 3)
    light = 1 + 0.12 * (x - 0.5) * rng.normal() + 0.12 * (y - 0.5) * rng.normal()
    blotches = ndimage.gaussian_filter(rng.normal(size=(size, size)), size / 10) * size / 4
    pixels = tone * (light + 0.03 * blotches)[..., None]
    for _ in range(2):  # furrows cross at an angle
        angle, period = rng.uniform(0, np.pi), rng.uniform(0.06, 0.14)
        bent = x * np.cos(angle) + y * np.sin(angle) + 0.01 * ndimage.gaussian_filter(rng.normal(size=x.shape), 2) * 5
        furrow = np.maximum(np.cos(2 * np.pi * bent / period) - 0.75, 0) * 4
        pixels -= (rng.uniform(4, 12) * furrow)[..., None] * [1, 1.15, 1.2]
    pores = ndimage.gaussian_filter((rng.random((size, size)) < 0.01).astype(float), 0.7) * 4
    pixels -= (18 * pores)[..., None]
    for _ in range(rng.integers(0, 4)):
        angle, at = rng.uniform(0, np.pi), rng.uniform(0.2, 0.8)
        away = np.abs((x - at) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.1 * (x - 0.5) ** 2)
        pixels *= 1 - 0.7 * np.clip(1.5 - away * size, 0, 1)[..., None]
    if rng.random() < 0.3:  # a mole
        far = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.2, 0.8)) / rng.uniform(0.04, 0.15)
        pixels *= 1 - 0.5 / (1 + np.exp(8 * (far - 1)))[..., None]
    return _finish(pixels + rng.normal(0, 2, pixels.shape))


def shapes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Flat polygons, ellipses, boxes and lines."""
    image, draw = _canvas(rng, size)
    for _ in range(rng.integers(1, 9)):
        points = [tuple(p) for p in rng.uniform(-0.1, 1.1, (int(rng.integers(2, 6)), 2)) * 2 * size]
        colour, kind = _colour(rng), rng.random()
        if kind < 0.4 and len(points) > 2:
            draw.polygon(points, fill=colour)
        elif kind < 0.6:
            box = np.sort(np.array(points[:2]), axis=0).ravel().tolist()
            draw.rectangle(box, fill=colour, outline=_colour(rng), width=int(rng.integers(1, 6)))
        elif kind < 0.8:
            draw.line(points, fill=colour, width=int(rng.integers(2, 16)))
        else:
            box = np.sort(np.array(points[:2]), axis=0).ravel().tolist()
            draw.ellipse(box, outline=colour, width=int(rng.integers(2, 14)))
    return _shrunk(image, size)


def stripes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Gratings, checks, rings and grids."""
    y, x = np.mgrid[:size, :size] / size
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.03, 0.4)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    bend = rng.uniform(0, 0.05) * np.sin(2 * np.pi * across * rng.uniform(0.5, 3))
    wave = np.sin(2 * np.pi * (along + bend) / period)
    kind = rng.integers(4)
    if kind == 1:
        wave = wave * np.sin(2 * np.pi * across / rng.uniform(0.03, 0.4))
    elif kind == 2:
        wave = np.sin(2 * np.pi * np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1)) / period)
    elif kind == 3:
        wave = np.maximum(wave, np.sin(2 * np.pi * across / period)) * 2 - 1
    level = np.clip(0.5 + wave * rng.choice([0.5, 2, 20]), 0, 1)[..., None]
    low, high = _palette(rng, 2)
    return _finish(low + (high - low) * level + rng.normal(0, rng.choice([0, 4, 10]), (size, size, 1)))


def tiles(rng: np.random.Generator, size: int) -> np.ndarray:
    """Places by their nearest of scattered points: stones, tissue, crackle, leaves."""
    y, x = np.mgrid[:size, :size] / size
    points = rng.uniform(-0.1, 1.1, (int(rng.integers(6, 60)), 2))
    far = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1])
    nearest = far.argmin(-1)
    first, second = np.partition(far, 1, axis=-1)[..., :2].transpose(2, 0, 1)
    colours = _palette(rng, 2)
    mixed = colours[0] + (colours[1] - colours[0]) * rng.uniform(0, 1, len(points))[nearest][..., None]
    rim = 1 / (1 + np.exp(-(second - first - rng.uniform(0, 0.03)) * rng.uniform(40, 300)))[..., None]
    shade = 1 - rng.uniform(0, 1.5) * first[..., None]
    return _finish(mixed * shade * rim + _palette(rng, 1)[0] * (1 - rim) + rng.normal(0, 4, (size, size, 1)))


def scenes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Rendered landscapes: a sky with clouds and sun, hills, houses, trees."""
    y, x = np.mgrid[:size, :size] / size
    top, low = np.array([rng.uniform(20, 120), rng.uniform(70, 170), rng.uniform(140, 245)]), rng.uniform(150, 255, 3)
    picture = top + (low - top) * y[..., None]
    cloud = np.clip(_fractal(rng, size, 1.6) * 2.5 - 1.2, 0, 1)[..., None]
    picture = picture * (1 - 0.7 * cloud) + 245 * 0.7 * cloud
    sun = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 0.5)) / rng.uniform(0.03, 0.1)
    picture += np.array([255, 240, 180]) * (0.8 / (1 + np.exp(6 * (sun - 1))))[..., None]
    for depth in range(rng.integers(1, 4)):
        ridge = rng.uniform(0.35, 0.7) + 0.12 * depth + 0.15 * (_fractal(rng, size, 1.8)[0] - 0.5)
        ground = np.array([rng.uniform(20, 150), rng.uniform(50, 160), rng.uniform(10, 100)])
        texture = 1 + 0.4 * (_fractal(rng, size, 0.8) - 0.5)
        under = (y > ridge[None])[..., None]
        picture = np.where(under, ground * texture[..., None], picture)
    image = Image.fromarray(_finish(picture)).resize((2 * size, 2 * size))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 5)):
        left, foot = rng.uniform(0, 1.8 * size), rng.uniform(1.2, 1.9) * size
        wide, tall = rng.uniform(0.1, 0.5) * size, rng.uniform(0.2, 0.8) * size
        if rng.random() < 0.5:
            draw.rectangle((left, foot - tall, left + wide, foot), fill=_colour(rng))
            draw.polygon(
                [(left, foot - tall), (left + wide, foot - tall), (left + wide / 2, foot - 1.5 * tall)], _colour(rng)
            )
            draw.rectangle((left + wide * 0.4, foot - tall / 2, left + wide * 0.6, foot), fill=_colour(rng))
        else:
            draw.rectangle((left + wide * 0.45, foot - tall / 2, left + wide * 0.55, foot), fill=(80, 50, 30))
            draw.ellipse(
                (left, foot - tall, left + wide, foot - tall / 3),
                fill=(int(rng.uniform(10, 90)), int(rng.uniform(70, 160)), 30),
            )
    return _shrunk(image, size)


def portraits(rng: np.random.Generator, size: int) -> np.ndarray:
    """Drawn faces, with hair, eyes, mouth, shoulders, before a softened room."""
    room = _palette(rng, 2)
    picture = room[0] + (room[1] - room[0]) * _fractal(rng, size, 1.5)[..., None]
    image = Image.fromarray(_finish(picture)).resize((2 * size, 2 * size))
    draw, tone = ImageDraw.Draw(image), _SKIN[rng.integers(len(_SKIN))] + rng.normal(0, 8, 3)
    x, y, r = rng.uniform(0.7, 1.3) * size, rng.uniform(0.7, 1.1) * size, rng.uniform(0.3, 0.7) * size
    face, hair = tuple(np.clip(tone, 0, 255).astype(int).tolist()), tuple(rng.integers(10, 130, 3).tolist())
    draw.ellipse((x - 1.6 * r, y + 1.1 * r, x + 1.6 * r, y + 4 * r), fill=_colour(rng))
    draw.ellipse((x - 0.95 * r, y - 1.3 * r, x + 0.95 * r, y + rng.uniform(0.2, 1.5) * r), fill=hair)
    draw.ellipse((x - 0.75 * r, y - r, x + 0.75 * r, y + r), fill=face)
    for side in (-1, 1):
        draw.ellipse(
            (x + side * 0.32 * r - 0.13 * r, y - 0.25 * r, x + side * 0.32 * r + 0.13 * r, y - 0.08 * r),
            fill=(245, 245, 245),
        )
        draw.ellipse(
            (x + side * 0.32 * r - 0.06 * r, y - 0.23 * r, x + side * 0.32 * r + 0.06 * r, y - 0.1 * r),
            fill=(40, 30, 30),
        )
    draw.arc(
        (x - 0.35 * r, y + 0.1 * r, x + 0.35 * r, y + 0.6 * r), 20, 160, fill=(150, 50, 50), width=max(2, int(0.08 * r))
    )
    light = 1 + rng.uniform(-0.3, 0.3) * (np.mgrid[:size, :size][1] / size - 0.5)
    soft = _shrunk(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5))), size)
    return _finish(soft * light[..., None] + rng.normal(0, 3, (size, size, 1)))


def balls(rng: np.random.Generator, size: int) -> np.ndarray:
    """Rendered balls and fruit on a table, lit from a side, with a gloss and a shadow."""
    y, x = np.mgrid[:size, :size] / size
    table = _palette(rng, 2)
    picture = np.where((y > rng.uniform(0.2, 0.7))[..., None], table[0], table[1]) * (
        0.9 + 0.2 * _fractal(rng, size, 1.2)[..., None]
    )
    sun = rng.uniform(-0.7, 0.7, 2)
    for _ in range(rng.integers(1, 5)):
        cx, cy, r = rng.uniform(0.15, 0.85), rng.uniform(0.3, 0.8), rng.uniform(0.1, 0.35)
        shadow = np.hypot((x - cx + sun[0] * r) / 1.2, (y - cy - 0.8 * r) * 2.5) / r
        picture = picture * (1 - 0.5 / (1 + np.exp(8 * (shadow - 1))))[..., None]
        u, v = (x - cx) / r, (y - cy) / r
        inside = (u**2 + v**2 < 1)[..., None]
        z = np.sqrt(np.clip(1 - u**2 - v**2, 0, 1))
        lit = np.clip(z * 0.7 + sun[0] * u * 0.6 - 0.5 * v, 0.08, 1.2)
        gloss = np.clip(z * 0.75 + sun[0] * u * 0.6 - 0.5 * v, 0, 1) ** 30
        colour = rng.uniform(20, 255, 3) * (1 - 0.2 * np.sin(8 * u * rng.uniform(0, 1)))[..., None]
        picture = np.where(inside, colour * lit[..., None] + 200 * gloss[..., None], picture)
    return _finish(ndimage.gaussian_filter(picture, (0.6, 0.6, 0)) + rng.normal(0, 3, (size, size, 1)))


def text(rng: np.random.Generator, size: int) -> np.ndarray:
    """A page or a few words, dark on light or light on dark, large or small."""
    dark = rng.random() < 0.25
    paper = rng.uniform(0, 60, 3) if dark else rng.uniform(200, 255, 3)
    ink = rng.uniform(180, 255, 3) if dark else rng.uniform(0, 110, 3)
    image = Image.new("RGB", (4 * size, 4 * size), tuple(paper.astype(int).tolist()))
    draw, height = ImageDraw.Draw(image), float(np.exp(rng.uniform(np.log(8), np.log(1.5 * size))))
    font, line = ImageFont.load_default(height), rng.uniform(-0.5, 1) * height
    while line < 4 * size:
        words = " ".join(rng.choice(_WORDS, 16))
        if rng.random() < 0.9:
            draw.text((rng.choice([4, 8, 40]), line), words, fill=tuple(ink.astype(int).tolist()), font=font)
        line += height * rng.uniform(1.1, 1.6)
    return _shrunk(
        image.rotate(rng.choice([0, 0, 0, 90, rng.uniform(-8, 8)]), fillcolor=tuple(paper.astype(int).tolist())), size
    )


def charts(rng: np.random.Generator, size: int) -> np.ndarray:
    """Bars, lines, points or pies with axes and labels."""
    paper = (255, 255, 255) if rng.random() < 0.7 else tuple(rng.integers(0, 256, 3).tolist())
    image = Image.new("RGB", (3 * size, 3 * size), paper)
    draw, side = ImageDraw.Draw(image), 3 * size
    ink, kind = (40, 40, 40) if sum(paper) > 380 else (220, 220, 220), rng.integers(5)
    left, foot = 0.12 * side, 0.88 * side
    for k in range(6):
        draw.text((2, foot - k * side / 8), str(k * 10), fill=ink, font=ImageFont.load_default(size / 8))
        if rng.random() < 0.7:
            draw.line((left, foot - k * side / 8, side * 0.96, foot - k * side / 8), fill=(190, 190, 190))
    draw.line((left, 0.05 * side, left, foot, 0.96 * side, foot), fill=ink, width=2)
    n = int(rng.integers(3, 14))
    xs, ys = np.linspace(left + 0.05 * side, 0.92 * side, n), foot - rng.uniform(0.05, 0.78, n) * side
    colour = _colour(rng)
    if kind == 0:
        for x, y in zip(xs, ys, strict=True):
            draw.rectangle(
                (x - 0.3 * side / n, y, x + 0.3 * side / n, foot), fill=colour if rng.random() < 0.8 else _colour(rng)
            )
    elif kind == 1:
        for _ in range(rng.integers(1, 4)):
            draw.line(
                list(zip(xs, foot - rng.uniform(0.05, 0.78, n) * side, strict=True)),
                fill=_colour(rng),
                width=int(rng.integers(2, 7)),
            )
    elif kind == 2:
        for x, y in rng.uniform(0.15, 0.85, (int(rng.integers(10, 150)), 2)) * side:
            r = rng.uniform(2, 8)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=colour if rng.random() < 0.7 else _colour(rng))
    elif kind == 3:
        edges = np.r_[0, np.sort(rng.uniform(0, 360, n)), 360]
        for a, b in zip(edges[:-1], edges[1:], strict=True):
            draw.pieslice((0.15 * side, 0.1 * side, 0.9 * side, 0.85 * side), a, b, fill=_colour(rng))
    else:
        cells, tint = int(rng.integers(4, 12)), rng.uniform(0, 200, 3)
        for i in range(cells):
            for j in range(cells):
                level = rng.random() ** 2 if i != j else rng.uniform(0.6, 1)
                fill = tuple((255 + (tint - 255) * level).astype(int).tolist())
                w = 0.8 * side / cells
                draw.rectangle(
                    (left + i * w, 0.06 * side + j * w, left + i * w + w, 0.06 * side + j * w + w), fill=fill
                )
    return _shrunk(image, size)


def screens(rng: np.random.Generator, size: int) -> np.ndarray:
    """Windows of a program: bars, panels, buttons, lists, pictures as boxes, small writing."""
    dark = rng.random() < 0.35
    base = rng.uniform(10, 50) if dark else rng.uniform(225, 255)
    image = Image.new("RGB", (4 * size, 4 * size), (int(base),) * 3)
    draw, side = ImageDraw.Draw(image), 4 * size
    ink = (225, 225, 225) if dark else (50, 50, 60)
    accent, panel = _colour(rng), (int(np.clip(base + rng.uniform(-18, 18), 0, 255)),) * 3
    bar = rng.uniform(0.15, 0.3) * side if rng.random() < 0.6 else 0
    draw.rectangle((0, 0, bar, side), fill=panel)
    draw.rectangle((0, 0, side, rng.uniform(0.03, 0.12) * side), fill=accent if rng.random() < 0.4 else panel)
    font = ImageFont.load_default(rng.uniform(8, 20))
    for _ in range(rng.integers(8, 36)):
        x, y = rng.uniform(0, 0.9) * side, rng.uniform(0.05, 0.95) * side
        wide, tall, kind = rng.uniform(0.05, 0.5) * side, rng.uniform(0.02, 0.12) * side, rng.random()
        if kind < 0.55:
            draw.text((x, y), " ".join(rng.choice(_WORDS, int(rng.integers(1, 9)))), fill=ink, font=font)
        elif kind < 0.75:
            draw.rounded_rectangle(
                (x, y, x + wide, y + tall),
                radius=min(6, tall / 3),
                fill=accent if rng.random() < 0.3 else panel,
                outline=ink,
            )
        elif kind < 0.9:
            draw.rectangle((x, y, x + wide, y + 2 * tall), fill=_colour(rng))
        else:
            draw.ellipse((x, y, x + tall, y + tall), fill=accent)
    return _shrunk(image, size)


def forms(rng: np.random.Generator, size: int) -> np.ndarray:
    """One disc, ring, square, star, heart or the like on a plain ground, crisp or soft, flat or shaded, in any colours,
    those of stains among them.
    """
    side, kind = 3 * size, rng.integers(8)
    ground, inner, outer = (tuple(np.clip(c, 0, 255).astype(int).tolist()) for c in _palette(rng, 3))
    if rng.random() < 0.3:
        ground = (255, 255, 255)
    image = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(image)
    x, y = rng.uniform(0.4, 0.6, 2) * side
    r, turn = rng.uniform(0.12, 0.5) * side, rng.uniform(0, 2 * np.pi)
    width = int(r * rng.uniform(0.05, 0.5)) if rng.random() < 0.5 else 0
    box = (x - r, y - r * rng.choice([1, rng.uniform(0.6, 1)]), x + r, y + r)
    if kind < 3:
        draw.ellipse(box, fill=inner, outline=outer, width=width)
        if rng.random() < 0.3:  # another within it, as of an eye
            part = rng.uniform(0.2, 0.7)
            dx, dy = rng.uniform(-0.2, 0.2, 2) * r
            draw.ellipse((x + dx - part * r, y + dy - part * r, x + dx + part * r, y + dy + part * r), fill=outer)
    elif kind == 3:
        draw.ellipse(box, outline=inner, width=max(3, int(r * rng.uniform(0.1, 0.6))))
    elif kind == 4:
        draw.rounded_rectangle(box, rng.choice([0, 0.2, 0.6]) * r, fill=inner, outline=outer, width=width)
    elif kind == 5:  # a star or a many-sided form
        points, depth = int(rng.integers(3, 10)), rng.choice([1.0, rng.uniform(0.3, 0.8)])
        angles = turn + np.arange(2 * points) * np.pi / points
        reach = r * np.where(np.arange(2 * points) % 2, depth, 1)
        draw.polygon([(x + a * np.cos(t), y + a * np.sin(t)) for a, t in zip(reach, angles, strict=True)], fill=inner)
    elif kind == 6:  # a heart, a flower, a blob: the radius as a wave of the angle
        t = np.linspace(0, 2 * np.pi, 200)
        waves = sum(rng.normal(0, 0.25 / k) * np.cos(k * t + rng.uniform(0, 6)) for k in range(1, 6))
        draw.polygon(
            list(zip(x + r * (0.8 + waves) * np.cos(t), y + r * (0.8 + waves) * np.sin(t), strict=True)), fill=inner
        )
    else:
        draw.line((x - r, y - r, x + r, y + r), fill=inner, width=max(4, int(0.3 * r)))
        draw.line((x - r, y + r, x + r, y - r), fill=inner, width=max(4, int(0.3 * r)))
    pixels = _shrunk(image, size).astype(float)
    return _printed(rng, pixels, size)


def signs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Icons and emojis: a button with a sign on it, a face, a pin, a bulb, a drop."""
    side = 3 * size
    image = Image.new("RGB", (side, side), _colour(rng) if rng.random() < 0.5 else (255, 255, 255))
    draw, ink, fill = ImageDraw.Draw(image), _colour(rng), _colour(rng)
    x, y, r, kind = 0.5 * side, 0.5 * side, rng.uniform(0.2, 0.47) * side, rng.integers(4)
    if kind == 0:  # a face
        tone = (255, int(rng.uniform(180, 225)), int(rng.uniform(40, 110))) if rng.random() < 0.7 else fill
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tone, outline=ink, width=int(rng.choice([0, 3])))
        for at in (-0.38, 0.38):
            e = rng.uniform(0.08, 0.22) * r
            draw.ellipse(
                (x + at * r - e, y - 0.3 * r - 1.4 * e, x + at * r + e, y - 0.3 * r + 1.4 * e), fill=(50, 30, 20)
            )
        start = rng.choice([15, 200])
        mouth = (
            x - 0.55 * r,
            y + (0.35 if start == 200 else -0.3) * r,
            x + 0.55 * r,
            y + (1.0 if start == 200 else 0.65) * r,
        )
        draw.arc(mouth, start, start + 145, fill=(80, 40, 20), width=max(3, int(0.09 * r)))
    elif kind == 1:  # a button with a sign
        if rng.random() < 0.5:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
        else:
            draw.rounded_rectangle((x - r, y - r, x + r, y + r), 0.3 * r, fill=fill)
        sign = str(rng.choice(list("+?!ixA7@&%#$=<>*")))
        draw.text((x, y), sign, fill=ink, font=ImageFont.load_default(1.4 * r), anchor="mm")
    elif kind == 2:  # a drop or a pin
        draw.polygon([(x, y - 1.1 * r), (x - 0.62 * r, y + 0.2 * r), (x + 0.62 * r, y + 0.2 * r)], fill=fill)
        draw.ellipse((x - 0.7 * r, y - 0.25 * r, x + 0.7 * r, y + 1.0 * r), fill=fill)
        draw.ellipse((x - 0.3 * r, y + 0.1 * r, x + 0.3 * r, y + 0.7 * r), fill=ink)
    else:  # discs in a row or a ring
        count, around = int(rng.integers(2, 8)), rng.random() < 0.5
        for k in range(count):
            angle = 2 * np.pi * k / count
            px, py = (x + r * np.cos(angle), y + r * np.sin(angle)) if around else (side * (k + 0.5) / count, y)
            small = rng.uniform(0.1, 0.3) * r
            draw.ellipse((px - small, py - small, px + small, py + small), fill=fill if rng.random() < 0.7 else ink)
    return _printed(rng, _shrunk(image, size).astype(float), size)


def gradients(rng: np.random.Generator, size: int) -> np.ndarray:
    """Colours that run into each other, along a line or from one or two places: spots of light, soft balls."""
    y, x = np.mgrid[:size, :size] / size
    colours, kind = _palette(rng, 3), rng.integers(3)
    if kind == 0:
        angle = rng.uniform(0, 2 * np.pi)
        level = 0.5 + rng.uniform(0.5, 1.5) * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
    else:
        level = np.zeros((size, size))
        for _ in range(kind):
            far = np.hypot((x - rng.uniform(0.25, 0.75)) * rng.uniform(0.7, 1.4), y - rng.uniform(0.25, 0.75))
            level = np.maximum(level, np.exp(-((far / rng.uniform(0.1, 0.45)) ** rng.choice([1, 2, 4, 8]))))
    level, places = np.clip(level, 0, 1), np.array([0, rng.uniform(0.3, 0.7), 1])
    pixels = np.stack([np.interp(level, places, colours[:, k]) for k in range(3)], -1)
    return _printed(rng, pixels, size)


def _printed(rng: np.random.Generator, pixels: np.ndarray, size: int) -> np.ndarray:
    """``pixels`` float (size, size, 3) as they are, or shaded, softened, grained, stored as JPEG."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    if rng.random() < 0.25:
        pixels = pixels * (1 + (rng.uniform(-0.5, 0.5) * x + rng.uniform(-0.5, 0.5) * y))[..., None]
    if rng.random() < 0.35:
        sigma = rng.uniform(0.4, 2.5) * size / 64
        pixels = ndimage.gaussian_filter(pixels, (sigma, sigma, 0))
    if rng.random() < 0.35:
        pixels = pixels + rng.normal(0, rng.uniform(1, 8), (size, size, int(rng.choice([1, 3]))))
    pixels = _finish(pixels)
    if rng.random() < 0.35:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=int(rng.integers(40, 95)))
        pixels = np.asarray(Image.open(stream))
    return pixels


FAMILIES: dict[str, tuple[CellKind, Draw]] = {
    "blank": ("blank", blank),
    "noise": ("noise", noise),
    **{
        draw.__name__: ("photograph", draw) for draw in (clouds, skin, shapes, stripes, tiles, scenes, portraits, balls)
    },
    **{draw.__name__: ("photograph", draw) for draw in (text, charts, screens, forms, signs, gradients)},
}


def draw_family(name: str, count: int, size: int, seed: int = 0) -> np.ndarray:
    """``count`` pictures of the family ``name`` of `FAMILIES`: uint8 (count, size, size, 3)."""
    _, draw = FAMILIES[name]
    rng = np.random.default_rng([seed, list(FAMILIES).index(name)])
    return np.stack([draw(rng, size) for _ in range(count)])


def _finish(values: np.ndarray) -> np.ndarray:
    values = np.clip(values, 0, 255).astype(np.uint8)
    return values if values.shape[-1] == 3 else values.repeat(3, axis=-1)


def _fractal(rng: np.random.Generator, size: int, steepness: float) -> np.ndarray:
    """1/f noise, 0 to 1 (size, size)."""
    down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    spectrum = np.fft.rfft2(rng.normal(size=(size, size))) / np.maximum(np.hypot(down, across), 1 / size) ** steepness
    values = np.fft.irfft2(spectrum, (size, size))
    low, high = np.quantile(values, (0.02, 0.98))
    return np.clip((values - low) / (high - low + 1e-9), 0, 1)


def _palette(rng: np.random.Generator, count: int) -> np.ndarray:
    """Colours float (count, 3): any, or tones of skin, or near those of a stained smear."""
    kind = rng.random()
    if kind < 0.25:
        return _SKIN[rng.integers(0, len(_SKIN), count)] + rng.normal(0, 15, (count, 3))
    if kind < 0.5:
        stains = np.array([[238, 216, 205], [214, 178, 172], [120, 70, 150], [190, 150, 200], [225, 190, 200]], float)
        return stains[rng.permutation(len(stains))[:count]] + rng.normal(0, 15, (count, 3))
    return rng.uniform(0, 255, (count, 3))


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    return tuple(rng.integers(0, 256, 3).tolist())


def _canvas(rng: np.random.Generator, size: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (2 * size, 2 * size), _colour(rng) if rng.random() < 0.7 else (255, 255, 255))
    return image, ImageDraw.Draw(image)


def _shrunk(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def montage(cells: np.ndarray, rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Several of ``cells`` uint8 (N, S, S, 3) side by side in each picture: uint8 (count, size, size, 3)."""
    pictures = np.empty((count, size, size, 3), np.uint8)
    for picture in pictures:
        across, down = ((1, 2), (2, 1), (2, 2), (2, 2), (3, 2), (3, 3), (4, 4))[rng.integers(7)]
        gap, frame = int(rng.integers(0, 5)), Image.new("RGB", (64 * across, 64 * down), _colour(rng))
        alike = rng.integers(len(cells))
        for i in range(across):
            for j in range(down):
                cell = cells[(alike + int(rng.integers(0, 40))) % len(cells)]
                frame.paste(Image.fromarray(cell).resize((64 - gap, 64 - gap)), (64 * i, 64 * j))
        picture[:] = np.asarray(frame.resize((size, size), Image.Resampling.BOX))
    return pictures


def with_surroundings(cells: np.ndarray, around: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Each one of ``cells`` uint8 (N, S, S, 3) with crops ``around`` laid about it: uint8 (count, 112, 112, 3).

    ``around`` shows no other white cells (platelets among red cells); the cell's crop spans .43 of the side.
    """
    side, pictures = cells.shape[1], []
    y, x = np.abs(np.mgrid[: 3 * side, : 3 * side] - 1.5 * side + 0.5)
    inside = np.clip((side / 2 - np.maximum(x, y)) / (side / 16), 0, 1)[..., None]
    rim = int(0.33 * side)
    for _ in range(count):
        cell = cells[rng.integers(len(cells))]
        background = np.percentile(cell.reshape(-1, 3), 90, axis=0)
        canvas = np.zeros((3 * side, 3 * side, 3))
        for row in range(0, 3 * side, side):
            for column in range(0, 3 * side, side):
                tile = np.rot90(around[rng.integers(len(around))], int(rng.integers(4))).astype(float)
                tile *= background / np.percentile(tile.reshape(-1, 3), 90, axis=0)
                canvas[row : row + side, column : column + side] = tile
        canvas *= 1 - inside
        canvas[side : 2 * side, side : 2 * side] += cell * inside[side : 2 * side, side : 2 * side]
        cut = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)[rim:-rim, rim:-rim])
        pictures.append(np.asarray(cut.resize((112, 112))))
    return np.stack(pictures)


def families(count: int, size: int, seed: int = 0) -> Iterator[tuple[str, CellKind, np.ndarray]]:
    """All families: name, the kind that it should be called, pictures uint8 (count, size, size, 3)."""
    for name, (kind, _) in FAMILIES.items():
        yield name, kind, draw_family(name, count, size, seed)
