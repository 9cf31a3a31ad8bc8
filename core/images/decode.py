"""From a file's bytes to RGB pixels, for files that nobody has checked.

The format is decided by decoding, never by the file's name. Only five formats are tried (`FORMATS`); size is checked on
the header, before a single pixel is unpacked. Pillow's global limits (``Image.MAX_IMAGE_PIXELS``, the warnings filter)
are process-wide state that another thread may rely on, so they are left as they are: `MAX_PIXELS` is lower than
Pillow's own limit, which makes every picture of a cell that Pillow would only warn of an error here; of a field of 90
megapixels and more it does warn.
"""

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from core.errors import HemaLensError
from core.progress import Progress, Report

# Pillow's name of each format that is read: what a person calls it, and how its files end.
FORMATS = {
    "PNG": ("PNG", (".png",)),
    "JPEG": ("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif")),
    "BMP": ("BMP", (".bmp",)),
    "TIFF": ("TIFF", (".tif", ".tiff")),
    "WEBP": ("WebP", (".webp",)),
}
FORMAT_NAMES = " or ".join(", ".join(title for title, _ in FORMATS.values()).rsplit(", ", 1))
SUFFIXES = tuple(suffix for _, suffixes in FORMATS.values() for suffix in suffixes)
MAX_BYTES = 50 * 1024 * 1024
MAX_PIXELS = 50_000_000
MIN_SIDE = 16
LONGEST_SIDE = 1600
GREY_NOTE = "grey picture: the models know colour"
PIXEL_SIZES = 0.02, 1.0  # µm: what a light microscope's camera sees of a smear in a pixel
_REPORT_EVERY = 25  # pictures
_ORIENTATION = 0x0112  # the EXIF tag; from 5 on width and height are swapped
_RESOLUTIONS, _RESOLUTION_UNIT, _DESCRIPTION = (0x011A, 0x011B), 0x0128, 0x010E  # TIFF tags
_TIFF_UNITS = {2: 25_400.0, 3: 10_000.0}  # µm in an inch, in a centimetre
# µm in what OME and ImageJ call their units, once letters are plain.
_UNITS = {"um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
_SQUARE = 1.02  # both axes are alike, within so much

_SAVE_AS = f"Save it as {FORMAT_NAMES} and try again."
_UNPACK = "Unpack it, and give the folder that comes out."
# What people really try to upload, told apart by the first bytes, so that the advice can be precise.
_SIGNATURES = (
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"II\xbc\x01", "a JPEG XR picture"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array"),
)


class DecodeError(HemaLensError):
    """A file that can't be used: ``name`` of the file, ``reason`` (what is wrong), ``advice`` (what to do)."""

    def __init__(self, name: str, reason: str, advice: str):
        super().__init__(f"{name}: {reason}. {advice}")
        self.name = name
        self.reason = reason
        self.advice = advice


@dataclass(frozen=True)
class DecodedPicture:
    """A picture: ``pixels`` uint8 (H, W, 3) RGB, ``format`` as found in the bytes, ``notes`` for a person.

    ``pixel_size``: what the file says that a pixel spans, in µm; None where it says nothing plausible. ``reduction``:
    the whole factor by which it was reduced.
    """

    pixels: np.ndarray
    format: str
    notes: tuple[str, ...] = ()
    pixel_size: float | None = None
    reduction: int = 1


class Limits(NamedTuple):
    """What is read at most of a file: ``file_bytes``, ``pixels``, and the ``longest_side`` in px beyond which a picture
    is reduced by a whole factor (None: never).
    """

    file_bytes: int = MAX_BYTES
    pixels: int = MAX_PIXELS
    longest_side: int | None = LONGEST_SIDE


CELL_LIMITS = Limits()
FIELD_LIMITS = Limits(400 * 1024 * 1024, 120_000_000, None)  # a field of 100 megapixels without compression: 300 MB


class PictureHeader(NamedTuple):
    """What a file's header tells of the picture that `decode` gives: ``shape`` (height, width), ``pixel_size`` in µm
    and ``reduction`` as in `DecodedPicture`.
    """

    shape: tuple[int, int]
    pixel_size: float | None
    reduction: int = 1


def decode(data: bytes, name: str, limits: Limits = CELL_LIMITS) -> DecodedPicture:
    """Read one picture from ``data``; ``name`` is used in messages only.

    A picture larger than the longest side that ``limits`` allow is reduced by a whole factor; transparency is laid on
    white, more than 8 bits are scaled to 8, only the first picture of several is read, and each of these leaves a note.
    Raises `DecodeError`.
    """
    with _open_checked(data, name, limits) as image:
        pixel_size, reduction = _pixel_size(image, limits.longest_side), _factor(image.size, limits.longest_side)
        try:
            notes, picture = _unpack(image, limits.longest_side)
        except DecodeError:
            raise
        except MemoryError as error:
            raise _too_many_pixels(name, limits) from error
        except Exception as error:
            raise DecodeError(
                name, "the file is damaged or incomplete", "Export or copy it again from where it comes from."
            ) from error
    found = "JPEG" if image.format == "MPO" else str(image.format)
    return DecodedPicture(picture, found, tuple(notes), pixel_size, reduction)


def read_header(data: bytes, name: str, limits: Limits = CELL_LIMITS) -> PictureHeader:
    """What is known of ``data`` before its pixels are decoded. Raises `DecodeError`."""
    with _open_checked(data, name, limits) as image:
        factor = _factor(image.size, limits.longest_side)
        width, height = (-(-side // factor) for side in image.size)
        try:
            on_its_side = image.getexif().get(_ORIENTATION, 1) in range(5, 9)
        except Exception:  # unreadable EXIF is no reason to refuse a good picture
            on_its_side = False
        shape = (width, height) if on_its_side else (height, width)
        return PictureHeader(shape, _pixel_size(image, limits.longest_side), factor)


def read_file(path: Path, limits: Limits = CELL_LIMITS) -> bytes:
    """The bytes of ``path``, one more than the ``limits`` at most. Raises `DecodeError`."""
    if path.is_dir():
        raise DecodeError(str(path), "the folder holds no picture", f"Pictures end in {', '.join(SUFFIXES)}.")
    try:
        with open(path, "rb") as file:
            return file.read(limits.file_bytes + 1)
    except FileNotFoundError as error:
        raise DecodeError(str(path), "there is no such file", "Check the name.") from error
    except OSError as error:
        raise DecodeError(str(path), f"can't be read ({error.strerror})", "Check its permissions.") from error


def decode_files(
    folder: Path, files: Sequence[str], report: Report
) -> tuple[dict[str, DecodedPicture], dict[str, str]]:
    """Read ``files`` below ``folder``: each that can be read, by its name, and the reason for each other."""
    pictures, unreadable = {}, {}
    for done, file in enumerate(files, 1):
        try:
            pictures[file] = decode((folder / file).read_bytes(), file)
        except (DecodeError, OSError) as error:
            unreadable[file] = getattr(error, "reason", str(error))
        if done % _REPORT_EVERY == 0 or done == len(files):
            report(Progress(done, len(files), "reading the pictures", "picture"))
    return pictures, unreadable


def _open_checked(data: bytes, name: str, limits: Limits) -> Image.Image:
    """The picture, its header read, within all limits."""
    if not data:
        raise DecodeError(name, "the file is empty (0 bytes)", "Copy or export it again.")
    if len(data) > limits.file_bytes:
        raise DecodeError(
            name,
            f"the file is larger than {limits.file_bytes // 2**20} MB ({len(data) / 2**20:.0f} MB)",
            "Cut out the cell, or save the picture as JPEG.",
        )
    try:
        image = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(name, limits) from error
    except Exception as error:  # Pillow's readers raise many kinds on hostile bytes
        raise _not_a_picture(data, name) from error
    width, height = image.size
    if width * height > limits.pixels:
        raise _too_many_pixels(name, limits, width, height)
    if min(width, height) // _factor(image.size, limits.longest_side) < MIN_SIDE:
        raise DecodeError(
            name,
            f"the picture is too small: {width} x {height} px",
            f"Use a crop of one cell that is at least {MIN_SIDE} px a side, better 200 px.",
        )
    return image


def _factor(size: tuple[int, int], longest_side: int | None) -> int:
    """The whole factor by which a picture of ``size`` is reduced."""
    return -(-max(size) // longest_side) if longest_side else 1


def _pixel_size(image: Image.Image, longest_side: int | None) -> float | None:
    """What a pixel spans in µm, reduced as it is, where the header of ``image`` says so; broken tags say nothing."""
    try:
        stated = _png_pixel_sizes(image) if image.format == "PNG" else _tiff_pixel_sizes(image)
    except Exception:
        return None
    low, high = PIXEL_SIZES
    for x, y in stated:
        is_placeholder = x == y == 1  # what programs write that know nothing
        if low <= x <= high and max(x, y) <= _SQUARE * min(x, y) and not is_placeholder:
            return x * _factor(image.size, longest_side)
    return None


def _png_pixel_sizes(image: Image.Image) -> list[tuple[float, float]]:
    if "dpi" not in image.info:  # there only where pHYs has a unit, the metre
        return []
    x, y = image.info["dpi"]
    return [(25_400 / x, 25_400 / y)]


def _tiff_pixel_sizes(image: Image.Image) -> list[tuple[float, float]]:
    """What a pixel of a TIFF spans in µm along x and y, by OME's description, by ImageJ's, by the resolution tags."""
    tags = getattr(image, "tag_v2", {})
    description, found = html.unescape(str(tags.get(_DESCRIPTION, ""))), []
    stated = re.findall(r"\b(PhysicalSize[XY](?:Unit)?)\s*=\s*[\"']([^\"']*)", description)
    ome = dict(reversed(stated))  # of several images the first is what is decoded
    if "PhysicalSizeX" in ome:
        across, down = (
            float(ome[axis]) * _micrometres(ome.get(f"{axis}Unit", "um"))
            for axis in ("PhysicalSizeX", "PhysicalSizeY" if "PhysicalSizeY" in ome else "PhysicalSizeX")
        )
        found.append((across, down))
    if all(tag in tags for tag in _RESOLUTIONS):
        per_x, per_y = (float(tags[tag]) for tag in _RESOLUTIONS)
        unit = re.search(r"^unit=(.*)$", description, re.MULTILINE) if description.startswith("ImageJ=") else None
        for span in (_micrometres(unit[1]) if unit else 0.0, _TIFF_UNITS.get(tags.get(_RESOLUTION_UNIT, 2), 0.0)):
            if min(per_x, per_y) > 0:
                found.append((span / per_x, span / per_y))
    return found


def _micrometres(unit: str) -> float:
    """µm in ``unit`` as files write it; 0, which is no size, for what is none. Letters beyond ASCII, however they were
    encoded, stand for the Greek one.
    """
    plain = re.sub(r"\\u00B5|\\u03BC|[^\x00-\x7f]+", "u", unit.strip(), flags=re.IGNORECASE)
    return _UNITS.get(plain.lower(), 0.0)


def _too_many_pixels(name: str, limits: Limits, width: int | None = None, height: int | None = None) -> DecodeError:
    size = f" ({width:,} x {height:,} px)" if width and height else ""
    return DecodeError(
        name,
        f"the picture has more than {limits.pixels // 10**6} million pixels{size}",
        "Use a crop of one cell, for instance 360 x 360 px.",
    )


def _not_a_picture(data: bytes, name: str) -> DecodeError:
    head = data[:1024]
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    described = next((kind for start, kind in _SIGNATURES if head.startswith(start)), None)
    if head[4:8] == b"ftyp":
        described = "a HEIC, AVIF or video file"
    elif head[128:132] == b"DICM":
        described = "a DICOM file"
    elif text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in text:
        described = "an SVG drawing"
    elif described is None and _is_text(head):
        described = "text, whatever its name says"
    if described:
        advice = _UNPACK if "archive" in described else _SAVE_AS
        return DecodeError(name, f"this is {described}, not a picture that can be read here", advice)
    if head.startswith((b"\x89PNG", b"\xff\xd8", b"BM", b"II*\0", b"MM\0*", b"RIFF")):
        return DecodeError(
            name, "the file is damaged or incomplete", "Export or copy it again from where it comes from."
        )
    return DecodeError(name, f"this is not a {FORMAT_NAMES} picture", _SAVE_AS)


def _is_text(head: bytes) -> bool:
    try:
        decoded = head.decode("utf-8", errors="ignore")
    except ValueError:
        return False
    printable = sum(c.isprintable() or c in "\r\n\t" for c in decoded)
    return len(decoded) > 0.9 * len(head) and printable > 0.95 * len(decoded)


def _unpack(image: Image.Image, longest_side: int | None) -> tuple[list[str], np.ndarray]:
    notes: list[str] = []
    page_count = getattr(image, "n_frames", 1)
    if page_count > 1:
        notes.append(f"the file holds {page_count} pictures: the first was read")
        image.seek(0)
    image.load()
    mode = image.mode
    image = _upright(image, notes)
    if mode.startswith("I") or mode == "F":
        image = _eight_bits(image, notes)
    elif mode == "CMYK":
        notes.append("CMYK picture: its colours were converted to RGB")
    if "transparency" in image.info or "A" in image.getbands() or "a" in image.getbands():
        image = _on_white(image.convert("RGBA"), notes)
    image = image.convert("RGB")
    if (factor := _factor(image.size, longest_side)) > 1:
        original_size = image.size
        image = image.reduce(factor)
        notes.append(
            f"large picture: {original_size[0]} x {original_size[1]} px reduced to {image.width} x {image.height} px"
        )
    pixels = np.array(image)
    if (pixels[..., :1] == pixels[..., 1:]).all():
        notes.append(GREY_NOTE)
    return notes, pixels


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """``image`` turned as its EXIF says; unreadable EXIF is no reason to refuse a good picture."""
    try:
        turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
        upright = ImageOps.exif_transpose(image) if turned else image
    except Exception:
        return image
    if turned:
        notes.append("turned upright, as the camera's note in the file says")
    return upright


def _eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """A grey picture of more than 8 bits as mode L, scaled over its range rather than clipped.

    The range is that of the smallest common bit depth that holds the values, because cameras store 10
    or 12 bits in files of 16. Fractions are taken as 0 to 1 if they fit there, else from their least
    to their greatest value.
    """
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("values that are not numbers")
    low, high = values.min(), values.max()
    if image.mode == "F" and low >= 0 and high <= 1:
        low, top, depth = 0.0, 1.0, "fractions"
    elif low >= 0 and high <= 65535:
        bits = next(b for b in (8, 10, 12, 14, 16) if high < 2**b)
        low, top, depth = 0.0, 2.0**bits - 1, f"{bits} bits"
    else:
        top, depth = max(high, low + 1), "wide range"
    if depth != "8 bits":
        notes.append(f"grey values of more than 8 bits ({depth}) were scaled to 8")
    return Image.fromarray(np.round((values - low) * (255 / (top - low))).astype(np.uint8))


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    if image.getchannel("A").getextrema()[0] == 255:
        return image
    notes.append("transparent parts were laid on white")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
