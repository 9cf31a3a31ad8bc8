"""Real and hostile files, all made here."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from core.images import decode as module
from core.images.decode import FIELD_LIMITS, GREY_NOTE, DecodeError, Limits, decode, read_header


def picture(width=60, height=40, seed=0):
    """A coloured gradient with a bright top-left corner, uint8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    pixels[:5, :5] = (250, 240, 20)
    return pixels


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width, height):
    """A PNG of a few bytes that claims ``width`` x ``height`` pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_give_the_very_pixels(kind):
    found = decode(encoded(picture(), kind), f"cell.{kind}")
    np.testing.assert_array_equal(found.pixels, picture())
    assert found.format == kind
    assert found.notes == ()
    assert found.pixels.dtype == np.uint8


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"quality": 95})])
def test_lossy_formats_come_close(kind, options):
    found = decode(encoded(picture(), kind, **options), "cell")
    assert found.format == kind
    assert np.abs(found.pixels.astype(int) - picture()).mean() < 8


def test_lossless_webp_gives_the_very_pixels():
    np.testing.assert_array_equal(decode(encoded(picture(), "WEBP", lossless=True), "cell").pixels, picture())


def test_the_bytes_decide_not_the_name():
    assert decode(encoded(picture(), "PNG"), "cell.jpg").format == "PNG"


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encoded(picture(), "PNG", exif=exif), "turned")
    undo = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    np.testing.assert_array_equal(found.pixels, undo(picture()))
    assert any("upright" in n for n in found.notes)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_no_reason_to_refuse():
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert decode(data, "cell").pixels.shape == (40, 60, 3)


@pytest.mark.parametrize(("kind", "bits"), [("PNG", 16), ("TIFF", 16), ("TIFF", 12), ("PNG", 10)])
def test_deep_grey_is_scaled_not_clipped(kind, bits):
    ramp = np.linspace(0, 2**bits - 1, 64 * 64).reshape(64, 64)
    found = decode(encoded(ramp.astype(np.uint16), kind), "deep")
    expected = np.round(ramp.astype(np.uint16) * (255 / (2**bits - 1)))
    np.testing.assert_allclose(found.pixels[..., 0], expected, atol=1)
    assert len(np.unique(found.pixels)) == 256
    assert any(f"{bits} bits" in n for n in found.notes)
    assert GREY_NOTE in found.notes


def test_16_bit_colour_is_scaled_not_clipped():
    rgb = picture().astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode(data, "deep").pixels, picture())


def test_fractions_and_wide_ranges_are_scaled():
    ramp = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    assert decode(encoded(ramp, "TIFF"), "f").pixels.max() == 255
    wide = decode(encoded((ramp - 0.5) * 1e6, "TIFF"), "f").pixels
    assert (wide.min(), wide.max()) == (0, 255)
    whole = (ramp * 10_000_000).astype(np.int32)
    assert decode(encoded(whole, "TIFF"), "i").pixels[16, 0, 0] == pytest.approx(128, abs=1)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(DecodeError, match="without a single number"):
        decode(encoded(np.full((32, 32), np.nan, np.float32), "TIFF"), "nan.tif")


def test_cmyk_is_converted_with_a_note():
    found = decode(encoded(Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95), "print.jpg")
    assert np.abs(found.pixels.astype(int) - picture()).mean() < 8
    assert any("CMYK" in n for n in found.notes)


def test_transparency_is_laid_on_white():
    pixels = np.dstack([picture(), np.full((40, 60), 255, np.uint8)])
    assert decode(encoded(pixels, "PNG"), "opaque").notes == ()
    pixels[:, 30:, 3] = 0
    pixels[0, 0] = (0, 0, 0, 128)
    found = decode(encoded(pixels, "PNG"), "alpha")
    assert (found.pixels[:, 30:] == 255).all()
    assert found.pixels[0, 0, 0] == pytest.approx(127, abs=1)
    np.testing.assert_array_equal(found.pixels[20, :30], picture()[20, :30])
    assert any("white" in n for n in found.notes)


def test_palette_with_and_without_a_transparent_entry():
    image = Image.fromarray(picture()).quantize(64)
    expected = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(decode(encoded(image, "PNG"), "p").pixels, expected)
    corner = image.getpixel((2, 2))
    found = decode(encoded(image, "PNG", transparency=corner), "p")
    assert tuple(found.pixels[2, 2]) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_pictures_say_so(mode):
    found = decode(encoded(Image.fromarray(picture()).convert(mode), "PNG"), "grey")
    assert found.pixels.shape == (40, 60, 3)
    assert GREY_NOTE in found.notes


@pytest.mark.parametrize(("kind", "options"), [("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_the_first_of_several_pictures_is_read(kind, options):
    frames = [Image.fromarray(np.roll(picture(), shift, axis=1)) for shift in (0, 7, 13)]
    found = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options), "many")
    np.testing.assert_array_equal(found.pixels, picture())
    assert any("3 pictures" in n for n in found.notes)


def test_large_pictures_are_reduced_with_a_note():
    large = np.full((1200, 3300, 3), 77, np.uint8)
    found = decode(encoded(large, "PNG"), "large")
    assert found.pixels.shape == (400, 1100, 3)
    assert any("3300 x 1200" in n for n in found.notes)
    assert decode(encoded(large, "PNG"), "large", Limits(longest_side=None)).pixels.shape == large.shape


def refused(data, name="cell.png"):
    with pytest.raises(DecodeError) as caught:
        decode(data, name)
    error = caught.value
    assert error.reason
    assert error.advice.endswith(".")
    assert not error.reason.endswith(".")
    assert str(error).startswith(f"{name}: {error.reason}. ")
    return error


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
def test_truncated_files(kind, part):
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    data = encoded(noise, kind)
    assert "damaged" in refused(data[: int(len(data) * part)]).reason


def test_garbled_bytes_never_escape_as_another_error():
    rng = np.random.default_rng(1)
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
        good = encoded(picture(), kind)
        for _ in range(60):
            bad = bytearray(good)
            for position in rng.integers(0, min(len(bad), 400), 8):
                bad[position] = rng.integers(0, 256)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = decode(bytes(bad), "garbled")
            except DecodeError:
                continue
            assert found.pixels.dtype == np.uint8
            assert found.pixels.shape[2] == 3


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"Patient 7, see the next tab\nsecond line\n" * 20, "text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><rect/></svg>", "SVG"),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "SVG"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04....", "ZIP"),
        (b"\0\0\0\x20ftypisom....", "video"),
        (b"\0" * 128 + b"DICM" + b"\0" * 50, "DICOM file without a picture"),
        (bytes(range(256)) * 4, "not a PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
    ],
)
def test_what_is_no_picture_is_named(data, word):
    assert word in refused(data).reason


def test_other_picture_formats_are_not_even_tried():
    assert "GIF" in refused(encoded(Image.fromarray(picture()), "GIF")).reason
    refused(encoded(Image.fromarray(picture()), "ICO"))
    refused(encoded(Image.fromarray(picture()), "PPM"))


@pytest.mark.parametrize("size", [(30_000, 30_000), (8_000, 8_000), (2**31 - 1, 2**31 - 1), (12_000, 9_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_huge_header_is_refused_before_unpacking(size):
    limit = Image.MAX_IMAGE_PIXELS
    assert "million pixels" in refused(png_header(*size)).reason
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.filterwarnings("error")
def test_a_bomb_warning_that_is_an_error_is_told_as_ours():
    assert "million pixels" in refused(png_header(12_000, 9_000)).reason


def test_huge_files():
    data = encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), "PNG")
    with pytest.raises(DecodeError, match="larger than"):
        decode(data, "field.png", Limits(file_bytes=1000))


def test_a_field_may_be_larger_than_a_picture_of_a_cell():
    header = png_header(8_000, 8_000)
    assert "million pixels" in refused(header).reason
    assert read_header(header, "field.png", FIELD_LIMITS).shape == (8_000, 8_000)


def test_a_file_of_forty_megabytes_is_read():
    data = encoded(np.full((3700, 3700, 3), 200, np.uint8), "BMP")
    assert len(data) > 40e6
    assert max(decode(data, "field.bmp").pixels.shape) <= module.LONGEST_SIDE


@pytest.mark.parametrize("size", [(15, 200), (200, 15), (1, 1)])
def test_too_small(size):
    assert "too small" in refused(encoded(picture(*size), "PNG")).reason


def test_a_strip_is_refused():
    assert "too small: 20000 x 20 px" in refused(encoded(picture(20_000, 20), "PNG")).reason


def tiff(across=None, down=None, unit=None, description=None):
    """A TIFF whose tags say so many px in a ``unit`` (the tag's number), and a description."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for number, value in ((282, across), (283, down), (296, unit), (270, description)):
        if value is not None:
            tags[number] = value
    return encoded(picture(), "TIFF", tiffinfo=tags)


def ome(*attributes):
    return f'<?xml version="1.0"?><OME><Image><Pixels SizeX="60" {" ".join(attributes)}/></Image></OME>'


STATED = {
    "px per cm": (tiff(125_000.0, 125_000.0, 3), 0.08),
    "px per inch": (tiff(317_500.0, 317_500.0, 2), 0.08),
    "an inch where no unit stands": (tiff(317_500.0, 317_500.0), 0.08),
    "ImageJ micron": (tiff(12.5, 12.5, 1, "ImageJ=1.54f\nunit=micron\nspacing=2.0"), 0.08),
    "ImageJ um": (tiff(12.5, 12.5, 1, "ImageJ=1.54f\nunit=um\n"), 0.08),
    "ImageJ escaped": (tiff(12.5, 12.5, 1, "ImageJ=1.54f\nunit=\\u00B5m\n"), 0.08),
    "OME": (tiff(72.0, 72.0, 2, ome('PhysicalSizeX="0.08"', 'PhysicalSizeY="0.0801"')), 0.08),
    "OME in nm": (tiff(description=ome('PhysicalSizeX="80" PhysicalSizeXUnit="nm"')), 0.08),
    "OME in two units": (tiff(description=ome('PhysicalSizeX="80" PhysicalSizeXUnit="nm" PhysicalSizeY=".08"')), 0.08),
    "OME, the Greek letter": (tiff(description=ome('PhysicalSizeX="0.08" PhysicalSizeXUnit="&#181;m"')), 0.08),
    "pHYs": (encoded(picture(), "PNG", dpi=(317_500, 317_500)), 0.08),
    "72 dpi": (tiff(72.0, 72.0, 2), None),
    "300 dpi PNG": (encoded(picture(), "PNG", dpi=(300, 300)), None),
    "no unit": (tiff(125_000.0, 125_000.0, 1), None),
    "axes that differ": (tiff(125_000.0, 110_000.0, 3), None),
    "one axis": (tiff(125_000.0, None, 3), None),
    "ImageJ in pixels": (tiff(12.5, 12.5, 1, "ImageJ=1.54f\nunit=pixel\n"), None),
    "a description that only names a unit": (tiff(12.5, 12.5, 1, "unit=micron"), None),
    "a field of stars": (tiff(12.5, 12.5, 1, "ImageJ=1.54f\nunit=parsec\n"), None),
    "zero": (tiff(0.0, 0.0, 3), None),
    "no number": (tiff(description=ome('PhysicalSizeX="wide"')), None),
    "OME, several images": (
        tiff(description=ome('PhysicalSizeX="0.08" PhysicalSizeY="0.08"', 'PhysicalSizeX="0.5" PhysicalSizeY="0.5"')),
        0.08,
    ),
    "OME beside a resolution of zero": (tiff(0.0, 0.0, 3, ome('PhysicalSizeX="0.08"')), 0.08),
    "OME, what stands for nothing": (tiff(description=ome('PhysicalSizeX="1.0" PhysicalSizeY="1.0"')), None),
    "not a number": (tiff(description=ome('PhysicalSizeX="nan"')), None),
    "too fine for light": (tiff(description=ome('PhysicalSizeX="0.001"')), None),
    "a JPEG": (encoded(picture(), "JPEG", dpi=(31_750, 31_750)), None),
}


@pytest.mark.parametrize("name", STATED)
def test_a_file_may_say_what_a_pixel_spans(name):
    data, expected = STATED[name]
    found = decode(data, name)
    assert found.pixel_size == read_header(data, name).pixel_size
    assert found.pixel_size == (None if expected is None else pytest.approx(expected, rel=1e-3))
    assert found.pixels.shape == (*read_header(data, name).shape, 3)


def test_a_pixel_of_a_reduced_picture_spans_more():
    assert decode(STATED["px per cm"][0], "large", Limits(longest_side=30)).pixel_size == pytest.approx(0.16)


@pytest.mark.parametrize("name", ["px per cm", "ImageJ micron", "OME", "pHYs"])
def test_broken_tags_say_nothing_and_cost_no_picture(name):
    data = STATED[name][0]
    rng = np.random.default_rng(3)
    for place in rng.integers(8, len(data), 300):
        broken = data[:place] + bytes([int(rng.integers(256))]) + data[place + 1 :]
        try:
            size = read_header(broken, name).pixel_size
        except DecodeError:  # no picture any more
            continue
        assert size is None or 0.02 <= size <= 1
