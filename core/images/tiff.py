"""Which picture of a TIFF is meant, and its samples where Pillow has no mode for them (by tifffile).

A plain page of 8 bits is left to Pillow. Deep, signed and fractional samples, channels in pages of their own (ImageJ,
OME), pages that stand behind a thumbnail, big-endian BigTIFF and codecs that Pillow lacks are read here.
"""

import html
import io
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.images.file_structure import (
    MAX_PAGES,
    BrokenError,
    ExcessiveError,
    Tag,
    TiffLayout,
    structure_of,
    tiff_layout,
)
from core.images.samples import SampledPicture, UnsupportedError

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION = 254, 256, 257, 258, 259, 262, 270
_SAMPLES, _PLANAR, _EXTRA, _FORMAT, _TILE_SIZE, _ICC, _ROWS = 277, 284, 338, 339, (322, 323), 34675, 278
_COUNTS = (279, 325)
_REDUCED, _MASK = 1, 4
_PLAIN_PHOTOMETRICS = {0: (1,), 1: (1, 2), 2: (3, 4), 3: (1, 2), 5: (4, 5), 6: (3,), 8: (3,)}
_PLAIN_CODECS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000)
_IMAGE_CODECS = {7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000"}
_CODECS = (1, 5, 8, 32773, 32946, 34925, 50000, *_IMAGE_CODECS)
_NAMES = {6: "old JPEG", 22610: "JPEG XR", 34887: "LERC", 34892: "lossy JPEG", 34933: "PNG", 34934: "JPEG XR"}
_NAMES |= {50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL"}
_KINDS = {32803: "a raw picture of a camera's sensor (CFA)", 34892: "a raw picture of a camera (DNG)"}
_MEANT_LARGER = 1.9  # an unmarked first page is a thumbnail where another of its shape is so many times as wide
_PRIMARIES = {0xFF0000: "red", 0x00FF00: "green", 0x0000FF: "blue"}
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class TiffPicture:
    """The page ``index`` of ``layout`` that is meant, and what is to be said of the choice (``notes``)."""

    data: bytes
    layout: TiffLayout
    index: int
    notes: tuple[str, ...]

    @property
    def page(self) -> dict[int, Tag]:
        """The tags of the page."""
        return self.layout.pages[self.index]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px."""
        return self.layout.number(self.page, _WIDTH, 0), self.layout.number(self.page, _HEIGHT, 0)

    @cached_property
    def tags(self) -> Mapping[int, str | float]:
        """What is said of the scale: description, resolutions and their unit, by the tags' numbers."""
        found: dict[int, str | float] = {_DESCRIPTION: self.layout.text(self.layout.pages[0], _DESCRIPTION)}
        for number in (282, 283):
            tag = self.page.get(number)
            if tag and tag.type == 5:
                above, below = np.frombuffer(self.data, self.layout.order + "u4", 2, tag.start)
                found[number] = float(above) / float(below) if below else 0.0
        found[296] = self.layout.number(self.page, 296, 2)
        return found

    @property
    def orientation(self) -> int:
        """As in EXIF."""
        return self.layout.number(self.page, 274, 1)

    @property
    def icc(self) -> bytes:
        """The colour profile; empty where there is none."""
        tag = self.page.get(_ICC)
        return self.data[tag.start : tag.start + tag.count] if tag else b""

    @property
    def is_plain(self) -> bool:
        """Whether Pillow reads it as it is meant: the first page, of 8 bits, with its channels together."""
        read, page = self.layout.number, self.page
        bits = set(self.layout.values(page, _BITS).tolist()) or {1}
        samples, photometric = read(page, _SAMPLES, 1), read(page, _PHOTOMETRIC, 1)
        signed = set(self.layout.values(page, _FORMAT).tolist()) - {1, 4}
        extra = self.layout.values(page, _EXTRA)
        hidden = 0 if photometric == 2 and samples == 4 and not len(extra) else len(extra)
        return (
            self.index == 0
            and bits <= {1, 2, 4, 8}
            and len(bits) == 1
            and not signed
            and samples in _PLAIN_PHOTOMETRICS.get(photometric, ())
            and hidden <= 1
            and read(page, _COMPRESSION, 1) in _PLAIN_CODECS
            and not self._tells_channels()
            and self.data[:4] != b"MM\0+"
        )

    def needed_bytes(self) -> int:
        """What decoding takes at its peak. Raises `ExcessiveError` and `BrokenError` for strips that can't be."""
        read, page = self.layout.number, self.page
        (width, height), samples = self.size, read(page, _SAMPLES, 1)
        bits = max(self.layout.values(page, _BITS).tolist() or [1])
        across, down = (read(page, number, 0) for number in _TILE_SIZE)
        segment = (across * down if across and down else width * min(height, read(page, _ROWS, height))) * samples
        counts = np.concatenate([self.layout.values(page, number) for number in _COUNTS])
        if len(counts) and (counts < 0).any() or int(counts.sum()) > 2 * len(self.data) + 2**16:
            raise BrokenError("its strips are longer than the file")
        item = max(1, -(-bits // 8))
        if self.is_plain:
            packed = read(page, _COMPRESSION, 1) != 1
            return width * height * (1 if samples == 1 else 4) + (segment + 2 * len(self.data) if packed else 0)
        planes = 3 if self._tells_channels() else 1
        return width * height * samples * item * planes + 2 * segment * item

    def _tells_channels(self) -> bool:
        text = self.layout.text(self.layout.pages[0], _DESCRIPTION)
        if text.startswith("ImageJ="):
            found = re.search(r"^channels=(\d+)", text, re.MULTILINE)
            return bool(found and int(found[1]) > 1)
        found = re.search(r"\bSizeC\s*=\s*[\"'](\d+)", text)
        samples = self.layout.number(self.page, _SAMPLES, 1)
        return "OME" in text and bool(found and int(found[1]) > 1) and samples == 1

    def load(self) -> SampledPicture:
        """The samples. Raises `UnsupportedError` for kinds that aren't read, other errors for what is broken."""
        import tifffile

        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file, a person is told

        kind = self.layout.number(self.page, _PHOTOMETRIC, 1)
        if kind in _KINDS:
            raise UnsupportedError(_KINDS[kind])
        codec = self.layout.number(self.page, _COMPRESSION, 1)
        if codec not in _CODECS:
            raise UnsupportedError(f"a TIFF whose pixels are coded as {_NAMES.get(codec, f'number {codec}')}")
        with tifffile.TiffFile(io.BytesIO(self.data)) as file:
            try:
                return self._samples(file)
            except (UnsupportedError, ExcessiveError, MemoryError):
                raise
            except NotImplementedError as error:
                raise UnsupportedError(f"a TIFF of a kind that has no reader ({_line(error)})") from error
            except Exception as error:
                if codec in _IMAGE_CODECS:
                    raise UnsupportedError(f"a TIFF whose {_IMAGE_CODECS[codec]} data has no reader") from error
                raise

    def _samples(self, file) -> SampledPicture:
        page = file.pages[self.index]
        if page.dtype is None:
            raise UnsupportedError(f"a TIFF of {page.bitspersample} bits a sample in format {int(page.sampleformat)}")
        if page.compression in _IMAGE_CODECS:
            self._check_segments(page)
        notes: list[str] = []
        if self._tells_channels() and self.layout.count <= MAX_PAGES:
            planes = _channel_planes(self.data, file, notes)
        else:
            planes = [page.asarray(maxworkers=1)]
            axes = page.axes
            while len(axes) > 2 + ("S" in axes):
                planes, axes = [planes[0][0]], axes[1:]
                notes.append("the file holds a stack: its first layer was read")
            if axes.startswith("S"):
                planes = list(planes[0])
        channels = len(planes) if planes[0].ndim == 2 else planes[0].shape[2]
        extra = self.layout.values(self.page, _EXTRA).tolist()
        photometric = int(page.photometric)
        if photometric in (0, 1) and channels > 2 and not self._tells_channels():
            if channels != 3:
                raise UnsupportedError(f"a TIFF of {channels} channels that does not say which colours they are")
            notes.append("the file names no colours: its three channels were taken for red, green and blue")
        elif photometric not in (0, 1, 2) and not (photometric == 6 and page.compression in _IMAGE_CODECS):
            raise UnsupportedError(f"a {page.bitspersample}-bit TIFF in the colours {page.photometric.name}")
        if channels > 4 or (channels == 4 and extra[:1] == [0]):
            notes.append("channels beyond red, green and blue were left out")
            planes = planes[:3] if planes[0].ndim == 2 else [planes[0][..., :3]]
        bits = page.bitspersample if page.bitspersample not in (8, 16, 32, 64) else self._stated_bits()
        found = SampledPicture(planes, bits, photometric == 0, extra[:1] == [1])
        found.notes[:0] = notes
        if self.icc:
            found.info["icc_profile"] = self.icc
        return found

    def _stated_bits(self) -> int | None:
        found = re.search(r"\bSignificantBits\s*=\s*[\"'](\d{1,2})[\"']", str(self.tags[_DESCRIPTION]))
        return int(found[1]) if found else None

    def _check_segments(self, page) -> None:
        """No strip or tile may unpack to more than its place."""
        place = (page.tilewidth or page.imagewidth) * (page.tilelength or page.rowsperstrip or page.imagelength)
        for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            inner = structure_of(self.data[start : start + count])
            if inner.size and inner.size[0] * inner.size[1] > 2 * max(place, 1):
                raise ExcessiveError("a piece of it unpacks to more than its place")


def open_tiff(data: bytes) -> TiffPicture:
    """The picture that a TIFF is about. Raises `ExcessiveError` and `BrokenError`."""
    layout = tiff_layout(data)
    sizes = [(layout.number(p, _WIDTH, 0), layout.number(p, _HEIGHT, 0)) for p in layout.pages]
    kinds = [layout.number(p, _SUBFILE, 0) for p in layout.pages]
    whole = [n for n, kind in enumerate(kinds) if not kind & (_REDUCED | _MASK)] or [0]
    index = whole[0]
    width, height = sizes[index]
    for n in whole[1:]:
        wide, high = sizes[n]
        alike = abs(wide * height - high * width) <= 0.03 * max(1, high * width)
        if alike and wide >= _MEANT_LARGER * width > 0 and wide > sizes[index][0]:
            index = n
    notes = []
    if index:
        notes.append(f"the first page is a small copy: page {index + 1} was read")
    picture = TiffPicture(data, layout, index, ())
    others = layout.count - 1 - sum(bool(kind & (_REDUCED | _MASK)) for kind in kinds)
    if not index and others and not picture._tells_channels():
        many = f"more than {layout.count - 1:,}" if layout.count >= 100_000 else f"{layout.count:,}"
        notes.append(f"the file holds {many} pictures: the first was read")
    return TiffPicture(data, layout, index, tuple(notes))


def _channel_planes(data: bytes, file, notes: list[str]) -> list[np.ndarray]:
    """Red, green and blue of a file that keeps its channels apart, of the first layer and time."""
    series = file.series[0]
    key = series.keyframe
    lead = len(series.axes) - len(key.axes)
    axes, shape = series.axes[:lead], series.shape[:lead]
    if "C" not in axes:
        found = key.asarray(maxworkers=1)
        return list(found) if key.axes.startswith("S") else [found]
    place = axes.index("C")
    count, step = shape[place], int(np.prod(shape[place + 1 :], dtype=int))
    order = _channel_order(file, count)
    if len([n for n in shape if n > 1]) > 1:
        notes.append("the file holds a stack: its first layer was read")
    notes.append("its channels lie apart: they were read as red, green and blue")
    planes = []
    for channel in order:
        number = channel * step
        if series.dataoffset is not None:
            start = series.dataoffset + number * int(np.prod(key.shape)) * key.dtype.itemsize
            flat = np.frombuffer(data, file.byteorder + key.dtype.char, int(np.prod(key.shape)), start)
            planes.append(flat.reshape(key.shape).astype(key.dtype, copy=False))
        else:
            planes.append(series.pages[number].asarray(maxworkers=1))
    return planes


def _channel_order(file, count: int) -> list[int]:
    """Which channel is red, green and blue. Raises `UnsupportedError` where that can't be."""
    roles: list[str] = []
    names: list[str] = []
    if file.is_ome:
        for channel in re.findall(r"<(?:\w+:)?Channel\b[^>]*>", file.pages[0].description)[:count]:
            name = re.search(r"\bName\s*=\s*[\"']([^\"']*)", channel)
            colour = re.search(r"\bColor\s*=\s*[\"'](-?\d+)", channel)
            names.append(html.unescape(name[1]) if name else "")
            role = _PRIMARIES.get((int(colour[1]) >> 8) & 0xFFFFFF, "") if colour else ""
            plain = names[-1].strip().lower()
            roles.append(role or next((c for c in _COLOURS if plain in (c, c[0])), ""))
    elif file.imagej_metadata and "LUTs" in file.imagej_metadata:
        for table in file.imagej_metadata["LUTs"][:count]:
            r, g, b = (int(v) for v in np.asarray(table)[:, -1])
            roles.append(_PRIMARIES.get(r << 16 | g << 8 | b, ""))
    named = [name for name in names if not re.fullmatch(r"(ch(annel)?)?[\s:_#-]*[\d:]*", name.strip().lower())]
    said = f" ({', '.join(n[:30] for n in named[:6])})" if named else ""
    if count != 3:
        raise UnsupportedError(f"a picture of {count} channels that lie apart{said}")
    if sorted(roles) == sorted(_COLOURS):
        return [roles.index(colour) for colour in _COLOURS]
    if named:
        raise UnsupportedError(f"a picture of {count} channels that are not red, green and blue{said}")
    return [0, 1, 2]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
