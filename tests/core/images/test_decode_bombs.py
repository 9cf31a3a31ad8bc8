"""Small files that claim much: each is refused, or read within the memory that a picture may take."""

import io
import struct
import subprocess
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from core.images.decode import FIELD_LIMITS, DecodeError, decode


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, bits=8, kind=2, before=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + before + body + chunk(b"IEND", b"")


def webp(width, height):
    head = struct.pack("<I", 0x2F | 0)[:1] + struct.pack("<I", (width - 1) | (height - 1) << 14)
    body = b"VP8L" + struct.pack("<I", len(head) + 1) + head + b"\0" * 60
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def jpeg(scans=1, before=b"", **options):
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(buffer, "JPEG", **options)
    data = buffer.getvalue()
    place = data.rindex(b"\xff\xda")
    last = data[place:-2]
    return data[:2] + before + data[2:-2] + last * (scans - 1) + b"\xff\xd9"


def tiff(width, height, samples=3, bits=8, compression=1, more=(), body=b"\0" * 100, pages=1):
    """A little-endian TIFF of a few tags (number, type, count, value)."""
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, bits), 259: (3, 1, compression)}
    tags |= {262: (3, 1, 2 if samples == 3 else 1), 277: (3, 1, samples), 278: (4, 1, height)}
    tags |= {273: (4, 1, 8), 279: (4, 1, len(body))}
    tags |= {number: value for number, *value in more}
    size = 2 + 12 * len(tags) + 4
    data = bytearray(b"II*\0" + struct.pack("<I", 8 + len(body)) + body)
    for page in range(pages):
        following = len(data) + size if page + 1 < pages else 0
        data += struct.pack("<H", len(tags))
        data += b"".join(struct.pack("<HHII", n, *tags[n]) for n in sorted(tags)) + struct.pack("<I", following)
    return bytes(data)


def exif(entries=4_000, length=60_000):
    block = b"II*\0" + struct.pack("<IH", 8, entries)
    block += b"".join(struct.pack("<HHII", 40_000 + n % 1_000, 7, 12_000, 8) for n in range(entries))
    body = b"Exif\0\0" + block.ljust(length, b"\0")
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def jpeg2000(width, height, tile=64):
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 64, 3), np.uint8), level=0))
    place = data.index(b"\xff\x4f\xff\x51")
    struct.pack_into(">6I", data, place + 8, width, height, 0, 0, tile, tile)
    return bytes(data)


BOMBS = {
    "an empty WebP": webp(16_383, 3_000),
    "a PNG of colour": png(12_000, 9_000),
    "a PNG of 16 bits": png(7_000, 7_000, 16),
    "a PNG of 16 bits and alpha": png(6_500, 6_500, 16, 6),
    "a PNG of a million pieces": png(64, 64, before=chunk(b"teSt", b"") * 110_000),
    "a JPEG of thousands of scans": jpeg(5_000, progressive=True),
    "a plain JPEG of many scans": jpeg(100),
    "a JPEG of empty segments": jpeg(before=b"\xff\xe5\0\2" * 5_000),
    "a JPEG of padding": jpeg(before=b"\xff" * 100_000),
    "a JPEG whose EXIF says all again and again": jpeg(before=exif()),
    "a progressive JPEG of 49 megapixels": jpeg(progressive=True, subsampling=0).replace(
        struct.pack(">HH", 64, 64), struct.pack(">HH", 7_000, 7_000)
    ),
    "a TIFF of one huge strip": tiff(7_000, 7_000, compression=8),
    "a TIFF of huge tiles": tiff(64, 64, compression=8, more=[(322, 4, 1, 60_000), (323, 4, 1, 60_000)]),
    "a TIFF of doubles": tiff(7_000, 7_000, 1, 64, compression=8),
    "a TIFF of 32 bits of colour": tiff(6_000, 6_000, 3, 32, compression=8),
    "a TIFF whose strips are longer than it": tiff(64, 64, compression=5, more=[(279, 4, 1, 10**9)]),
    "a TIFF of many strips that are all the file": tiff(
        64, 20_000, 1, compression=8, more=[(278, 4, 1, 1), (279, 4, 20_000, 8)], body=b"\x7f" * 90_000
    ),
    "a TIFF of endless rationals": tiff(64, 64, more=[(282, 5, 100_000, 8)], body=b"\1" * 900_000),
    "a BMP of run lengths": b"BM"
    + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 7_000, 7_000, 1, 8, 1, 9, 0, 0, 0, 0)
    + b"\0" * 2_000,
    "a JPEG 2000 of 60 million pixels": jpeg2000(8_000, 7_500, 8_000),
    "a JPEG 2000 of a million tiles": jpeg2000(4_000, 4_000, 4),
    "a DICOM of a long header": b"\0" * 128 + b"DICM" + b"\0" * 2**21 + b"\xe0\x7f\x10\x00OW\0\0" + b"\0" * 99,
    "a DICOM of many pieces": b"\0" * 128 + b"DICM" + b"\xe0\x7f\x10\x00OW\0\0" + b"\xfe\xff\x00\xe0\0\0\0\0" * 30_000,
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_clear_words(name):
    with pytest.raises(DecodeError) as caught:
        decode(BOMBS[name], name)
    assert caught.value.reason
    assert "damaged" not in caught.value.reason or "longer" in name or "all the file" in name


@pytest.mark.parametrize("name", ["an empty WebP", "a JPEG of thousands of scans", "a TIFF of huge tiles"])
def test_a_field_may_not_be_a_bomb_either(name):
    with pytest.raises(DecodeError):
        decode(BOMBS[name], name, FIELD_LIMITS)


def test_a_progressive_jpeg_as_programs_write_it_is_read():
    assert decode(jpeg(progressive=True), "p").pixels.shape == (64, 64, 3)


def test_the_pages_of_a_tiff_are_counted_not_opened(monkeypatch):
    monkeypatch.setattr(tifffile, "TiffFile", lambda *_: pytest.fail("opened"))
    found = decode(tiff(64, 64, body=b"\x50" * (64 * 64 * 3), pages=30_000), "pages")
    assert "30,000 pictures" in " ".join(found.notes)


def test_a_ring_of_pages_ends():
    data = bytearray(tiff(64, 64, body=b"\x50" * (64 * 64 * 3), pages=2))
    first = struct.unpack_from("<I", data, 4)[0]
    data[-4:] = struct.pack("<I", first)
    assert "2 pictures" in " ".join(decode(bytes(data), "ring").notes)


_MEASURE = """
import io, resource, sys
import numpy as np
from PIL import Image
from core.images.decode import decode
warm = io.BytesIO(); Image.new("RGB", (64, 64)).save(warm, "PNG"); decode(warm.getvalue(), "warm")
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode(data, "large")
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_the_largest_picture_is_never_there_twice(mode):
    pixels = np.zeros((7_000, 7_000), np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    if mode == "RGBA":
        image.putpixel((5, 5), (9, 9, 9, 7))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    done = subprocess.run([sys.executable, "-c", _MEASURE], input=buffer.getvalue(), capture_output=True, check=True)
    assert int(done.stdout) < 300 * 2**20
