"""What a picture's file claims, read from its bytes before any decoder is asked.

Decoders believe a file: one of 92 bytes may ask for 800 MB, one of 700 kB for 20 seconds, by its size in pixels, by
thousands of scans, chunks, tags or frames. Each of these is counted here, in time and memory that the file's own
length bounds, and what no camera or program writes is refused.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_MAX_CHUNKS = 100_000  # of a PNG: 400 MB in libpng's pieces of 8 kB are half of it
_MAX_SEGMENTS = 2_000  # before a JPEG's first scan: cameras write some twenty, a colour profile 255 at most
_MAX_SCANS = 40  # of a JPEG: programs write 10, the most thorough ones some 20
_MAX_RLE = 4_000_000  # bytes and pixels of a BMP of run lengths, which are read one by one
_MAX_TAG_VALUES, _MAX_TAG_BYTES = 200_000, 32 * 2**20  # of a TIFF's page; strips and tiles are counted by these
_MAX_RATIONALS = 1_000
_MAX_TILES = 20_000  # of a JPEG 2000
MAX_PAGES = 256  # of a TIFF, in which the picture is looked for; more are counted
_MAX_COUNTED = 100_000

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {
    1: "u1",
    3: "u2",
    4: "u4",
    6: "i1",
    8: "i2",
    9: "i4",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}


class ExcessiveError(ValueError):
    """A file that claims more than a picture has; the text says what, for a person."""


class BrokenError(ValueError):
    """A file whose structure ends where it must go on."""


@dataclass(frozen=True)
class Structure:
    """``format``: Pillow's name, or 'DICOM'; '' where the beginning is none of a picture's. ``bytes_per_pixel``:
    what decoding takes at its peak. ``bits`` of a sample. ``size``: width and height, where known.
    ``frames``: pictures in the file, as far as counted.
    """

    format: str
    bytes_per_pixel: float = 4
    bits: int = 8
    size: tuple[int, int] | None = None
    kind: int = 0
    frames: int = 1


@dataclass(frozen=True)
class Tag:
    """A TIFF's tag: the number of its ``type``, ``count`` of values, and where they ``start`` in the file."""

    type: int
    count: int
    start: int


@dataclass(frozen=True)
class TiffLayout:
    """The ``pages`` of a TIFF, tags by number, and how many there are (``count``; more are not looked at)."""

    data: bytes
    order: str
    pages: tuple[dict[int, Tag], ...]
    count: int

    def values(self, page: dict[int, Tag], number: int) -> np.ndarray:
        """The numbers of a tag, (N,); empty where it isn't there."""
        tag = page.get(number)
        if tag is None or tag.type not in _NUMBERS:
            return np.zeros(0, int)
        found = np.frombuffer(self.data, self.order + _NUMBERS[tag.type], tag.count, tag.start)
        return found if tag.type in (11, 12) else found.astype(np.int64)

    def number(self, page: dict[int, Tag], number: int, default: int) -> int:
        """The first value of a tag."""
        found = self.values(page, number)
        return int(found[0]) if len(found) else default

    def text(self, page: dict[int, Tag], number: int) -> str:
        """A tag's text; '' where it isn't there."""
        tag = page.get(number)
        return self.data[tag.start : tag.start + tag.count].decode("utf-8", "replace") if tag else ""


def structure_of(data: bytes) -> Structure:
    """What ``data`` claims to be and to need. Raises `ExcessiveError` and `BrokenError`."""
    for begins, read in _READERS:
        if begins(data):
            try:
                return read(data)
            except (struct.error, IndexError) as error:
                raise BrokenError("it ends within its header") from error
    return Structure("")


def tiff_layout(data: bytes) -> TiffLayout:
    """The pages of a TIFF or BigTIFF of either byte order. Raises `ExcessiveError` and `BrokenError`."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    number, length, offset = ("Q", 20, "Q") if big else ("H", 12, "I")
    inline, entry = (8, order + "HHQ") if big else (4, order + "HHI")
    place = struct.unpack_from(order + offset, data, 8 if big else 4)[0]
    pages: list[dict[int, Tag]] = []
    seen: set[int] = set()
    while place and place not in seen and len(seen) < _MAX_COUNTED:
        seen.add(place)
        try:
            entries = struct.unpack_from(order + number, data, place)[0]
            first = place + struct.calcsize(number)
            if len(pages) < MAX_PAGES:
                if entries > 4_096:
                    raise ExcessiveError(f"a page of it has {entries:,} tags")
                pages.append(_page(data, order, entry, inline, offset, length, first, entries))
            place = struct.unpack_from(order + offset, data, first + entries * length)[0]
        except struct.error as error:
            if len(seen) == 1:
                raise BrokenError("its first page ends early") from error
            break  # of a file that was cut, the first page may still be whole
    if not pages:
        raise BrokenError("it has no page")
    return TiffLayout(data, order, tuple(pages), len(seen))


def _page(
    data: bytes, order: str, entry: str, inline: int, offset: str, length: int, first: int, entries: int
) -> dict[int, Tag]:
    page: dict[int, Tag] = {}
    total = 0
    for place in range(first, first + entries * length, length):
        number, kind, count = struct.unpack_from(entry, data, place)
        size = _SIZES.get(kind, 0) * count
        start = place + struct.calcsize(entry)
        if size > inline:
            start = struct.unpack_from(order + offset, data, start)[0]
        if start + size > len(data) or not size:
            continue  # a tag that lies outside the file says nothing
        total += size
        many = _MAX_RATIONALS if kind in (5, 10) else _MAX_TAG_VALUES
        if total > _MAX_TAG_BYTES or (kind not in (1, 2, 6, 7) and count > many):
            raise ExcessiveError(f"the tag {number} of it has {count:,} values")
        page[number] = Tag(kind, count, start)
    return page


def exif_is_harmless(exif: bytes) -> bool:
    """Whether reading ``exif`` costs no more than a camera's does."""
    block = exif.removeprefix(b"Exif\0\0")
    if block[:4] not in (b"II*\0", b"MM\0*"):
        return True  # no reader goes on
    try:
        tiff_layout(block)
    except ExcessiveError:
        return False
    except (BrokenError, struct.error):
        pass
    order = "<" if block[:2] == b"II" else ">"
    try:
        start = struct.unpack_from(order + "I", block, 4)[0]
        entries = struct.unpack_from(order + "H", block, start)[0]
        total = 0
        for place in range(start + 2, start + 2 + 12 * entries, 12):
            kind, count = struct.unpack_from(order + "HI", block, place + 2)
            total += min(_SIZES.get(kind, 0) * count, len(block))
    except struct.error:
        return entries < 1_000 if "entries" in locals() else True
    return total <= 16 * 2**20


def count_scans(data: bytes, start: int = 0) -> int:
    """How many scans a JPEG has: within coded pixels no other marker looks like the one that begins a scan."""
    return data.count(b"\xff\xda", start)


def _png(data: bytes) -> Structure:
    width, height, bits, kind = struct.unpack_from(">IIBB", data, 16)
    place, frames = 8, 1
    for _ in range(_MAX_CHUNKS):
        if place + 8 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, place)
        if name == b"IEND":
            break
        if name == b"acTL":
            frames = struct.unpack_from(">I", data, place + 8)[0]
        place += 12 + length
    else:
        raise ExcessiveError(f"it is cut into more than {_MAX_CHUNKS:,} pieces")
    per_pixel = {0: 2 if bits == 16 else 1, 3: 1, 2: 6 if bits == 16 else 4, 6: 8 if bits == 16 else 4}.get(kind, 4)
    return Structure("PNG", per_pixel, bits=bits, size=(width, height), kind=kind, frames=frames)


def _jpeg(data: bytes) -> Structure:
    place, exif, found = 2, b"", Structure("JPEG")
    for _ in range(_MAX_SEGMENTS):
        if place + 4 > len(data):
            return found
        marker = data[place + 1]
        if data[place] != 0xFF or marker in (0x00, 0xFF):
            place += 1
            continue
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            place += 2
            continue
        if marker == 0xDA:
            scans = count_scans(data, place)
            if scans > _MAX_SCANS:
                raise ExcessiveError(f"it is coded in {scans:,} scans, and no program writes more than {_MAX_SCANS}")
            break
        length = struct.unpack_from(">H", data, place + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) or marker == 0xF7:
            bits, height, width, parts = struct.unpack_from(">BHHB", data, place + 4)
            factors = [data[place + 11 + 3 * n] for n in range(parts)]
            across, down = max((f >> 4 for f in factors), default=1), max((f & 15 for f in factors), default=1)
            share = sum((f >> 4) * (f & 15) for f in factors) / max(1, across * down)
            buffered = 2 * share if marker in (0xC2, 0xC6, 0xCA, 0xCE) or count_scans(data, place) > 1 else 0
            per_pixel = (1 if parts == 1 else 4) + buffered
            found = Structure("JPEG", per_pixel, bits=bits, size=(width, height), kind=marker)
        elif marker == 0xE1 and data[place + 4 : place + 10] == b"Exif\0\0":
            exif += data[place + 10 : place + 2 + length]
        place += 2 + length
    else:
        raise ExcessiveError(f"more than {_MAX_SEGMENTS:,} pieces stand before its picture")
    if exif and not exif_is_harmless(exif):
        raise ExcessiveError("what it says of its camera unpacks to far more than a camera writes")
    return found


def _bmp(data: bytes) -> Structure:
    width, height = struct.unpack_from("<ii", data, 18)
    bits = struct.unpack_from("<H", data, 28)[0]
    compression = struct.unpack_from("<I", data, 30)[0] if struct.unpack_from("<I", data, 14)[0] >= 40 else 0
    if compression in (1, 2) and max(len(data), abs(width * height)) > _MAX_RLE:
        raise ExcessiveError("a BMP of run lengths is read up to 4 million pixels")
    return Structure("BMP", 1 if bits <= 8 else 4)


def _webp(data: bytes) -> Structure:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[n : n + 3], "little") for n in (24, 27))
    elif kind == b"VP8L":
        packed = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise BrokenError("no picture follows its header")
    return Structure("WEBP", 16, size=(width, height))  # two canvases, a frame, and the picture


def _tiff(data: bytes) -> Structure:
    return Structure("TIFF")


def _jpeg2000(data: bytes) -> Structure:
    place = 0 if data[:4] == b"\xff\x4f\xff\x51" else data.find(b"\xff\x4f\xff\x51", 0, 2**20)
    if place < 0:
        raise BrokenError("no picture follows its header")
    width, height, left, top, across, down = struct.unpack_from(">6I", data, place + 8)
    parts, depth = struct.unpack_from(">H", data, place + 40)[0], data[place + 42]
    tiles = -(-width // max(1, across)) * -(-height // max(1, down))
    if tiles > _MAX_TILES or parts > 5:
        raise ExcessiveError(f"it has {tiles:,} tiles and {parts:,} channels")
    size = max(0, width - left), max(0, height - top)
    return Structure("JPEG2000", 8 * parts + 4, bits=(depth & 127) + 1, size=size, kind=parts)


def _heif(data: bytes) -> Structure:
    brand = data[8:12]
    spans = [struct.unpack_from(">II", data, m.end() + 4) for m in re.finditer(b"ispe", data[: 2**20])]
    size = (max(w for w, _ in spans), max(h for _, h in spans)) if spans else None
    return Structure("AVIF" if brand in (b"avif", b"avis") else "HEIF", 16, size=size)


def _dicom(data: bytes) -> Structure:
    return Structure("DICOM")


# Of each format: whether a file begins like it, and what reads its structure.
_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Structure]], ...] = (
    (lambda d: d.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda d: d.startswith(b"\xff\xd8"), _jpeg),
    (lambda d: d.startswith(b"BM"), _bmp),
    (lambda d: d[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    (lambda d: d[:4] == b"RIFF" and d[8:12] == b"WEBP", _webp),
    (lambda d: d[:4] == b"\xff\x4f\xff\x51" or d[:8] == b"\x00\x00\x00\x0cjP  ", _jpeg2000),
    (
        lambda d: (
            d[4:12]
            in (b"ftypavif", b"ftypavis", b"ftypheic", b"ftypheix", b"ftypheim", b"ftypheis", b"ftypmif1", b"ftyphevc")
        ),
        _heif,
    ),
    (lambda d: d[128:132] == b"DICM", _dicom),
)
