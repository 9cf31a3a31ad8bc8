"""From a file's bytes to RGB pixels, for files that nobody has checked.

The format is decided by the bytes, never by the file's name. What a file claims is counted before any decoder is asked
(`core.images.file_structure`), size and memory before a single pixel is unpacked, and a picture is turned, converted
and reduced in bands, so that it is never there twice. Pillow reads what is of 8 bits; what it has no mode for comes
from `core.images.tiff`, `core.images.dicom` and imagecodecs as samples. Pillow's global limits
(``Image.MAX_IMAGE_PIXELS``, the warnings filter) are process-wide state that another thread may rely on, so they are
left as they are: `MAX_PIXELS` is lower than Pillow's own limit, which makes every picture of a cell that Pillow would
only warn of an error here; of a field of 90 megapixels and more it does warn.
"""

import html
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from core.errors import HemaLensError
from core.images.file_structure import BrokenError, ExcessiveError, Structure, exif_is_harmless, structure_of
from core.images.samples import SampledPicture, UnsupportedError
from core.progress import Progress, Report

# Pillow's name of each format that is read: what a person calls it, and how its files end.
FORMATS = {
    "PNG": ("PNG", (".png",)),
    "JPEG": ("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif")),
    "BMP": ("BMP", (".bmp",)),
    "TIFF": ("TIFF", (".tif", ".tiff", ".btf")),
    "WEBP": ("WebP", (".webp",)),
    "JPEG2000": ("JPEG 2000", (".jp2", ".j2k", ".jpf", ".jpx")),
    "AVIF": ("AVIF", (".avif",)),
    "HEIF": ("HEIC", (".heic", ".heif")),
    "DICOM": ("DICOM", (".dcm", ".dicom")),
}
FORMAT_NAMES = " or ".join(", ".join(title for title, _ in FORMATS.values()).rsplit(", ", 1))
SUFFIXES = tuple(suffix for _, suffixes in FORMATS.values() for suffix in suffixes)
MAX_BYTES = 50 * 1024 * 1024
MAX_PIXELS = 50_000_000
MAX_MEMORY = 260 * 2**20  # bytes: 50 million pixels of colour are 200 million
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
_BAND = 2_000_000  # px that are converted at once
_MAX_UNPACKED = 400  # times a file's own length, for what needs more memory than a picture of a cell may
_MAX_PROFILE = 4 * 2**20  # bytes
_SAME_COLOURS = 2  # grey levels between a colour profile and sRGB that nobody sees

_SAVE_AS = "Save it as PNG, JPEG or TIFF and try again."
_SAVE_PLAIN = "Save it as RGB of 8 bits, PNG or TIFF, and try again."
_UNPACK = "Unpack it, and give the folder that comes out."
# What people really try to upload, told apart by the first bytes, so that the advice can be precise.
_SIGNATURES = (
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"II\xbc\x01", "a JPEG XR picture"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"SIMPLE  =", "a FITS picture"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xd0\xcf\x11\xe0", "a file of Zeiss or of an old office program"),
    (b"ZISRAWFILE", "a CZI file of Zeiss"),
    (b"\xda\xce\xbe\x0a", "an ND2 file of Nikon"),
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
    """What is read at most of a file: ``file_bytes``, ``pixels``, the ``longest_side`` in px beyond which a picture
    is reduced by a whole factor (None: never), and the ``memory`` in bytes that decoding takes at its peak.
    """

    file_bytes: int = MAX_BYTES
    pixels: int = MAX_PIXELS
    longest_side: int | None = LONGEST_SIDE
    memory: int = MAX_MEMORY


CELL_LIMITS = Limits()
FIELD_LIMITS = Limits(
    400 * 1024 * 1024, 120_000_000, None, 2 * 2**30
)  # a field of 100 megapixels without compression: 300 MB


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
    white, more than 8 bits are scaled to 8, colours of another profile become sRGB, only the first picture of several
    is read, and each of these leaves a note. Raises `DecodeError`.
    """
    opened = _open_checked(data, name, limits)
    with _told_as_ours(name, limits):
        notes, picture = _unpack(opened, limits.longest_side)
    size, reduction = opened.pixel_size(limits.longest_side), _factor(opened.size, limits.longest_side)
    return DecodedPicture(picture, opened.format, tuple(notes), size, reduction)


def read_header(data: bytes, name: str, limits: Limits = CELL_LIMITS) -> PictureHeader:
    """What is known of ``data`` before its pixels are decoded. Raises `DecodeError`."""
    opened = _open_checked(data, name, limits)
    factor = _factor(opened.size, limits.longest_side)
    width, height = (-(-side // factor) for side in opened.upright_size)
    return PictureHeader((height, width), opened.pixel_size(limits.longest_side), factor)


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


@dataclass(frozen=True)
class _Opened:
    """A picture whose header was read: ``size`` (width, height) as it is stored, ``orientation`` as in EXIF, ``stated``
    pixel sizes in µm along x and y, and ``load``, which unpacks it. ``memory``: bytes that this takes.
    """

    format: str
    size: tuple[int, int]
    load: Callable[[], Image.Image | SampledPicture]
    memory: float
    orientation: int = 1
    stated: Callable[[], list[tuple[float, float]]] = list
    notes: tuple[str, ...] = ()

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height once it is turned."""
        return (self.size[1], self.size[0]) if self.orientation in range(5, 9) else self.size

    def pixel_size(self, longest_side: int | None) -> float | None:
        """What a pixel spans in µm, reduced as it is, where the file says so; broken tags say nothing."""
        try:
            stated = self.stated()
        except Exception:
            return None
        low, high = PIXEL_SIZES
        for x, y in stated:
            is_placeholder = x == y == 1  # what programs write that know nothing
            if low <= x <= high and max(x, y) <= _SQUARE * min(x, y) and not is_placeholder:
                return x * _factor(self.size, longest_side)
        return None


@contextmanager
def _told_as_ours(name: str, limits: Limits) -> Iterator[None]:
    """Whatever a decoder raises within becomes a `DecodeError` that says what is wrong."""
    try:
        yield
    except DecodeError:
        raise
    except ExcessiveError as error:
        raise DecodeError(name, f"no camera or microscope writes such a file: {error}", _SAVE_AS) from error
    except UnsupportedError as error:
        raise DecodeError(name, f"this is {error}, which is not read here", _SAVE_PLAIN) from error
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(name, limits) from error
    except Exception as error:  # decoders raise many kinds on hostile bytes
        raise DecodeError(
            name, "the file is damaged or incomplete", "Export or copy it again from where it comes from."
        ) from error


def _open_checked(data: bytes, name: str, limits: Limits) -> _Opened:
    """The picture, its header read, within all limits."""
    if not data:
        raise DecodeError(name, "the file is empty (0 bytes)", "Copy or export it again.")
    if len(data) > limits.file_bytes:
        raise DecodeError(
            name,
            f"the file is larger than {limits.file_bytes // 2**20} MB ({len(data) / 2**20:.0f} MB)",
            "Cut out the cell, or save the picture as JPEG.",
        )
    with _told_as_ours(name, limits):
        structure = structure_of(data)
        if not structure.format:
            raise _not_a_picture(data, name)
        if structure.size:
            _check_size(
                structure.size, structure.size[0] * structure.size[1] * structure.bytes_per_pixel, data, name, limits
            )
        opened = _open(data, structure)
        _check_size(opened.size, opened.memory, data, name, limits)
    return opened


def _check_size(size: tuple[int, int], memory: float, data: bytes, name: str, limits: Limits) -> None:
    width, height = size
    if min(size) < 1:
        raise BrokenError("it has no pixels")
    if width * height > limits.pixels:
        raise _too_many_pixels(name, limits, width, height)
    if min(width, height) // _factor(size, limits.longest_side) < MIN_SIDE:
        raise DecodeError(
            name,
            f"the picture is too small: {width} x {height} px",
            f"Use a crop of one cell that is at least {MIN_SIDE} px a side, better 200 px.",
        )
    if memory > limits.memory:
        raise DecodeError(
            name,
            f"unpacking it takes {memory / 2**20:,.0f} MB, and {limits.memory // 2**20:,} MB are the most "
            f"({width:,} x {height:,} px)",
            "Cut out the cell, or save the picture as PNG or plain JPEG of 8 bits.",
        )
    if memory > max(MAX_MEMORY, _MAX_UNPACKED * len(data)):
        raise DecodeError(
            name,
            f"its {len(data) / 1024:,.0f} kB claim {width:,} x {height:,} px: no picture of a microscope is so empty",
            _SAVE_AS,
        )


def _open(data: bytes, structure: Structure) -> _Opened:
    if structure.format == "TIFF":
        return _open_tiff(data)
    if structure.format == "DICOM":
        return _open_dicom(data)
    if structure.format == "HEIF":
        return _open_heif(data)
    bits, kind = structure.bits, structure.kind
    if structure.format == "JPEG" and (bits != 8 or kind not in (0, 0xC0, 0xC1, 0xC2, 0xC9, 0xCA)):
        known = {0xC3: "a lossless JPEG", 0xF7: "a JPEG-LS picture"}
        raise UnsupportedError(known.get(kind, f"a JPEG of {bits} bits"))
    image = _pillow(data, structure.format)
    load: Callable[[], Image.Image | SampledPicture] = lambda: _loaded(image)  # noqa: E731
    if structure.format == "PNG" and bits == 16 and kind in (2, 4, 6):
        load = lambda: _sampled(data, "png", image)  # noqa: E731
    elif structure.format == "JPEG2000" and bits > 8 and kind in (1, 3):
        load = lambda: _sampled(data, "jpeg2k", image, bits)  # noqa: E731
    notes = []
    frames = structure.frames if structure.format == "PNG" else getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"the file holds {frames} pictures: the first was read")
    found = "JPEG" if image.format == "MPO" else str(image.format)
    stated = lambda: _png_pixel_sizes(image) if found in ("PNG", "JPEG2000") else []  # noqa: E731
    memory = image.width * image.height * structure.bytes_per_pixel
    return _Opened(found, image.size, load, memory, _orientation(image), stated, tuple(notes))


def _pillow(data: bytes, found: str) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=("JPEG", "MPO") if found == "JPEG" else (found,))
    if getattr(image, "n_frames", 1) > 1:
        image.seek(0)
    return image


def _loaded(image: Image.Image) -> Image.Image | SampledPicture:
    image.load()
    if image.mode.startswith("I") or image.mode == "F":
        return SampledPicture([np.asarray(image)])
    return image


def _sampled(data: bytes, codec: str, image: Image.Image, bits: int | None = None) -> SampledPicture:
    import imagecodecs

    values = np.asarray(getattr(imagecodecs, f"{codec}_decode")(data))
    found = SampledPicture([values], bits if bits and bits not in (16, 32) else None)
    if profile := image.info.get("icc_profile"):
        found.info["icc_profile"] = profile
    return found


def _open_tiff(data: bytes) -> _Opened:
    from core.images.tiff import open_tiff

    picture = open_tiff(data)
    image = _pillow_tiff(data) if picture.is_plain else None

    def load() -> Image.Image | SampledPicture:
        if image is None:
            return picture.load()
        try:
            return _loaded(image)
        except Exception:
            if image.info.get("compression") == "raw" and image.mode != "1":
                raise  # no codec is to blame
            return picture.load()

    size, memory = image.size if image else picture.size, picture.needed_bytes()
    orientation = 1 if image else picture.orientation  # Pillow turns a TIFF as it loads it
    return _Opened("TIFF", size, load, memory, orientation, lambda: _tiff_pixel_sizes(picture.tags), picture.notes)


def _pillow_tiff(data: bytes) -> Image.Image | None:
    """The first page as Pillow reads it; None where Pillow can't."""
    try:
        return Image.open(io.BytesIO(data), formats=("TIFF",))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except Exception:
        return None


def _open_dicom(data: bytes) -> _Opened:
    from core.images.dicom import is_picture, open_dicom

    picture = open_dicom(data)
    if not is_picture(picture):
        return _Opened(
            "DICOM", picture.size, picture.load, picture.needed_bytes, 1, lambda: picture.pixel_sizes, picture.notes
        )
    structure = structure_of(picture.encoded)
    if structure.format not in ("JPEG", "JPEG2000") or not structure.size:
        raise BrokenError("its frame is no JPEG")
    width, height = structure.size
    if width * height > 2 * picture.size[0] * picture.size[1]:
        raise ExcessiveError("its frame is larger than its header says")
    inner = _open(picture.encoded, structure)
    memory = max(picture.needed_bytes, inner.memory)
    return _Opened("DICOM", inner.size, inner.load, memory, 1, lambda: picture.pixel_sizes, picture.notes)


def _open_heif(data: bytes) -> _Opened:
    import pillow_heif

    image = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)

    def load() -> Image.Image:
        return image.to_pillow()

    width, height = image.size
    notes = (f"the file holds {len(image)} pictures: the main one was read",) if len(image) > 1 else ()
    return _Opened("HEIF", (width, height), load, 16 * width * height, 1, list, notes)


def _orientation(image: Image.Image) -> int:
    """As the camera's note in the file says; unreadable EXIF is no reason to refuse a good picture."""
    exif = image.info.get("exif", b"")
    try:
        if isinstance(exif, bytes) and not exif_is_harmless(exif):
            return 1
        found = image.getexif().get(_ORIENTATION, 1)
        return int(found) if found in range(2, 9) else 1
    except Exception:
        return 1


def _factor(size: tuple[int, int], longest_side: int | None) -> int:
    """The whole factor by which a picture of ``size`` is reduced."""
    return -(-max(size) // longest_side) if longest_side else 1


def _png_pixel_sizes(image: Image.Image) -> list[tuple[float, float]]:
    if "dpi" not in image.info:  # there only where pHYs has a unit, the metre
        return []
    x, y = image.info["dpi"]
    return [(25_400 / x, 25_400 / y)]


def _tiff_pixel_sizes(tags: Mapping[int, Any]) -> list[tuple[float, float]]:
    """What a pixel of a TIFF spans in µm along x and y, by OME's description, by ImageJ's, by the resolution tags."""
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
        described = "a video file"
    elif text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in text:
        described = "an SVG drawing"
    elif described is None and _is_text(head):
        described = "text, whatever its name says"
    if described:
        advice = _UNPACK if "archive" in described else _SAVE_AS
        return DecodeError(name, f"this is {described}, not a picture that can be read here", advice)
    if head.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF", b"II", b"MM\0")):
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


def _unpack(opened: _Opened, longest_side: int | None) -> tuple[list[str], np.ndarray]:
    notes = list(opened.notes)
    image = opened.load()
    if isinstance(image, SampledPicture):
        notes += image.notes
    if opened.orientation != 1:
        notes.append("turned upright, as the camera's note in the file says")
    if image.mode == "CMYK":
        notes.append("CMYK picture: its colours were converted to RGB")
    on_white = _is_transparent(image, notes)
    profile = _profile(image, notes)
    (width, height), factor = opened.upright_size, _factor(opened.size, longest_side)
    pixels = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    is_grey = True
    for box in _bands(width, height, factor):
        stored = _stored_box(box, opened.size, opened.orientation)
        is_whole = isinstance(image, Image.Image) and stored == (0, 0, *image.size)
        band: Any = image if is_whole else image.crop(stored)
        if opened.orientation != 1:
            band = band.transpose(_TURNS[opened.orientation])
        band = _as_rgb(band, on_white, profile)
        if factor > 1:
            band = band.reduce(factor)
        part = pixels[box[1] // factor : -(-box[3] // factor)]
        part[:] = np.asarray(_recoloured(band, profile))
        is_grey = is_grey and bool((part[..., :1] == part[..., 1:]).all())
    if factor > 1:
        notes.append(f"large picture: {width} x {height} px reduced to {pixels.shape[1]} x {pixels.shape[0]} px")
    if is_grey:
        notes.append(GREY_NOTE)
    return notes, pixels


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_Box = tuple[int, int, int, int]


def _bands(width: int, height: int, factor: int) -> Iterator[_Box]:
    """Boxes from top to bottom, each of whole multiples of ``factor``."""
    rows = max(1, _BAND // max(1, width * factor)) * factor
    for top in range(0, height, rows):
        yield 0, top, width, min(height, top + rows)


def _stored_box(box: _Box, size: tuple[int, int], orientation: int) -> _Box:
    """Where ``box`` of the upright picture lies in one of ``size`` as it is stored."""
    left, top, right, bottom = box
    width, height = size
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def _has_alpha(image: Image.Image | SampledPicture) -> bool:
    return "transparency" in image.info or any(band in "Aa" for band in image.getbands())


def _is_transparent(image: Image.Image | SampledPicture, notes: list[str]) -> bool:
    """Whether what lies behind shows through: never where alpha is the same everywhere, a channel nobody filled."""
    if not _has_alpha(image):
        return False
    if isinstance(image, SampledPicture):
        low, high = image.alpha_extrema()
    elif image.mode in ("RGBA", "LA"):
        low, high = image.getextrema()[-1]  # type: ignore[misc]
    else:
        spans = [
            image.crop(box).convert("RGBA").getchannel("A").getextrema() for box in _bands(image.width, image.height, 1)
        ]
        low, high = min(int(s[0]) for s in spans), max(int(s[1]) for s in spans)  # type: ignore[arg-type]
    if low == high:
        if high < 255:
            notes.append("transparency that is the same everywhere was ignored")
        return False
    notes.append("transparent parts were laid on white")
    return True


def _as_rgb(band: Image.Image, on_white: bool, profile: "_Profile | None") -> Image.Image:
    """``band`` as RGB, or as what ``profile`` describes."""
    if _has_alpha(band):
        band = band.convert("RGBA")
        if on_white:
            band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band)
    if profile and profile.mode == band.mode == "CMYK":
        return band
    if band.mode == "LAB":
        return _from_lab(band)
    return band.convert("RGB")


class _Profile(NamedTuple):
    """How pixels of ``mode`` become sRGB."""

    mode: str
    transform: Any


def _recoloured(band: Image.Image, profile: _Profile | None) -> Image.Image:
    if profile is None:
        return band
    from PIL import ImageCms

    if profile.mode == "L":
        band = band.getchannel(0)
    return ImageCms.applyTransform(band, profile.transform) or band


def _profile(image: Image.Image | SampledPicture, notes: list[str]) -> _Profile | None:
    """What turns the picture's colours into sRGB; None where they are, or where its profile is of no use."""
    icc = image.info.get("icc_profile")
    if not icc:
        return None
    mode = {"L": "L", "LA": "L", "1": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    if len(icc) > _MAX_PROFILE:
        transform, title = None, ""
    else:
        transform, title = _transform(bytes(icc), mode)
    if title == "":
        notes.append("its colour profile can't be used and was ignored")
    elif transform:
        notes.append(f"its colours were converted from the profile '{title}' to sRGB")
        return _Profile(mode, transform)
    return None


@lru_cache(maxsize=8)
def _transform(icc: bytes, mode: str) -> tuple[Any, str]:
    """What turns ``mode`` into sRGB (None where that changes nothing that is seen), and the profile's name; '' where
    it can't be used.
    """
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != {"L": "GRAY"}.get(mode, mode):
            return None, "another colour space"
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
        title = "".join(c for c in ImageCms.getProfileDescription(profile) if c.isprintable()).strip()[:60] or "unnamed"
        steps = np.linspace(0, 255, 9).round().astype(np.uint8)
        if mode == "L":
            lattice, plain = Image.fromarray(steps[None]), np.repeat(steps[None, :, None], 3, axis=2)
        elif mode == "RGB":
            plain = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
            lattice = Image.fromarray(plain)
        else:
            return transform, title
        found = np.asarray(ImageCms.applyTransform(lattice, transform)).astype(int)
        return (None if np.abs(found - plain).max() <= _SAME_COLOURS else transform), title
    except Exception:
        return None, ""


def _from_lab(band: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(band, lab, srgb, outputMode="RGB") or band
