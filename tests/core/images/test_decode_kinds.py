"""Pictures as microscopes and their programs write them: deep, signed, apart, turned round, in other colours."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from core.images.decode import DecodeError, decode, read_header

Y, X = np.mgrid[:48, :64]
COLOUR = np.stack([X * 255 // 63, Y * 255 // 47, 40 + (X + Y)], axis=-1).astype(np.uint8)
GREY = COLOUR[..., 0]
DEEP = COLOUR.astype(np.uint16) * 257


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def png(array, kind):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def close(data, expected=COLOUR, most=1.5, note=""):
    found = decode(data, "picture")
    assert found.pixels.shape == expected.shape
    assert np.abs(found.pixels.astype(int) - expected).mean() <= most
    assert read_header(data, "picture").shape == expected.shape[:2]
    assert note in " | ".join(found.notes)
    return found


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"planarconfig": "separate"}, {"bigtiff": True}])
def test_deep_colour_is_scaled_by_its_depth(bits, options):
    values = DEEP >> (16 - bits)
    if "planarconfig" in options:
        values = np.moveaxis(values, -1, 0)
    close(tiff(values, photometric="rgb", **options), note=f"{bits} bits" if bits > 8 else "")
    if not options:
        close(png(DEEP >> (16 - bits), 2), note=f"{bits} bits")


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"byteorder": "<"}])
def test_big_tiffs_of_both_byte_orders(options):
    np.testing.assert_array_equal(close(tiff(COLOUR, photometric="rgb", bigtiff=True, **options)).pixels, COLOUR)


def test_channels_in_pages_of_their_own_are_one_picture():
    planes = np.moveaxis(COLOUR, -1, 0)
    close(tiff(planes, imagej=True, metadata={"axes": "CYX"}), most=0, note="lie apart")
    names = {"axes": "CYX", "Channel": {"Name": ["Blue", "Green", "Red"]}}
    close(tiff(planes[::-1], ome=True, photometric="minisblack", metadata=names), most=0, note="lie apart")
    close(tiff(np.moveaxis(DEEP >> 4, -1, 0), imagej=True, metadata={"axes": "CYX"}), note="12 bits")
    stack = np.stack([planes, planes[::-1]])
    close(tiff(stack, imagej=True, metadata={"axes": "ZCYX"}), most=0, note="first layer")


@pytest.mark.parametrize("names", [["DAPI", "FITC", "TRITC"], ["DAPI", "FITC"], ["a", "b", "c", "d"]])
def test_channels_of_fluorescence_are_named_not_shown(names):
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    data = tiff(np.stack([GREY] * len(names)), ome=True, photometric="minisblack", metadata=metadata)
    with pytest.raises(DecodeError, match=f"{len(names)} channels.*{names[0]}"):
        decode(data, "f.ome.tif")


def test_signed_values_keep_their_order():
    found = decode(tiff((GREY.astype(int) - 128).astype(np.int8)), "signed").pixels[..., 0]
    np.testing.assert_array_equal(found, GREY)
    deep = decode(tiff(GREY.astype(np.int16) * 100 - 15_000), "signed").pixels[..., 0]
    np.testing.assert_allclose(deep, GREY, atol=1)


def test_white_may_be_the_least_value():
    for values in (GREY, (255 - GREY.astype(np.uint16)) * 16):
        data = tiff(values, photometric="miniswhite")
        expected = 255 - GREY if values is GREY else GREY
        found = decode(data, "w").pixels[..., 0]
        assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("kind", ["f4", "f8", "u4"])
def test_wide_and_fractional_colour(kind):
    values = COLOUR / 255 if kind[0] == "f" else COLOUR.astype(np.uint32) * 257
    close(tiff(values.astype(kind), photometric="rgb"), note="were scaled")


def test_a_narrow_range_is_stretched_and_says_so():
    values = 30_000 + GREY.astype(np.uint16) // 4
    found = decode(tiff(values), "narrow")
    assert len(np.unique(found.pixels)) == 64
    assert "stretched" in " ".join(found.notes)


def test_values_that_are_no_numbers_cost_no_picture():
    values = (GREY / 255).astype(np.float32)
    values[:, :3] = np.nan
    found = decode(tiff(values), "nan")
    assert (found.pixels[:, :3] == 255).all()
    np.testing.assert_allclose(found.pixels[:, 3:, 0], GREY[:, 3:], atol=1)
    assert "144 values that are no numbers" in " ".join(found.notes)


@pytest.mark.parametrize("level", [0, 1, 128])
def test_transparency_that_is_everywhere_is_ignored(level):
    four = np.dstack([COLOUR, np.full(GREY.shape, level, np.uint8)])
    for data in (tiff(four, photometric="rgb", extrasamples=["unassalpha"]), saved(Image.fromarray(four), "PNG")):
        close(data, most=0, note="the same everywhere was ignored")
    close(png(four.astype(np.uint16) * 257, 6), note="the same everywhere was ignored")


def test_deep_transparency_is_laid_on_white():
    alpha = np.where(X < 32, 65_535, 0).astype(np.uint16)
    found = decode(png(np.dstack([DEEP, alpha]), 6), "t")
    assert (found.pixels[:, 32:] == 255).all()
    np.testing.assert_array_equal(found.pixels[:, :32], COLOUR[:, :32])


def profile(name="made here", gamma=1.8):
    """An RGB profile of wide primaries."""

    def number(value):
        return struct.pack(">i", round(value * 65536))

    def xyz(values):
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = name.encode() + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
    tags = [(b"desc", described + b"\0" * (-len(described) % 4)), (b"wtpt", xyz((0.9642, 1, 0.8249)))]
    columns = (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)
    tags += [(k, xyz(v)) for k, v in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)]
    tags += [(k, curve) for k in (b"rTRC", b"gTRC", b"bTRC")]
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for key, content in tags:
        table += key + struct.pack(">II", start + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", 128 + len(table + body), b"\0" * 4, 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    white = number(0.9642) + number(1) + number(0.8249)
    return head + b"\0" * 12 + b"acsp" + b"\0" * 28 + white + b"\0" * 48 + table + body


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_colours_of_another_profile_become_srgb(kind):
    icc = profile()
    srgb = ImageCms.createProfile("sRGB")
    soft = Image.fromarray(np.clip(COLOUR.astype(int), 60, 200).astype(np.uint8))
    other = ImageCms.profileToProfile(soft, srgb, ImageCms.ImageCmsProfile(io.BytesIO(icc)), outputMode="RGB")
    options = {"quality": 98, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    found = decode(saved(other, kind, icc_profile=icc, **options), "icc")
    assert np.abs(found.pixels.astype(int) - np.asarray(soft)).mean() < 3
    assert np.abs(np.asarray(other).astype(int) - np.asarray(soft)).mean() > 5
    assert "made here" in " ".join(found.notes)


def test_a_profile_of_srgb_changes_nothing_and_a_broken_one_says_so():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert close(saved(Image.fromarray(COLOUR), "PNG", icc_profile=srgb), most=0).notes == ()
    close(saved(Image.fromarray(COLOUR), "PNG", icc_profile=b"broken" * 40), most=0, note="can't be used")


def test_a_page_behind_its_thumbnail_is_read():
    for mark in (1, 0):
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as file:
            file.write(COLOUR[::2, ::2].copy(), photometric="rgb", subfiletype=mark)
            file.write(COLOUR, photometric="rgb")
        close(buffer.getvalue(), most=0, note="page 2 was read")


@pytest.mark.parametrize("compression", ["zstd", "lzma", "jpeg2000"])
def test_codecs_that_pillow_lacks(compression):
    options = {"compressionargs": {"level": 0}} if compression == "jpeg2000" else {}
    close(tiff(COLOUR, photometric="rgb", compression=compression, **options), most=2)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (tiff(np.stack([GREY] * 4), photometric="minisblack", planarconfig="separate"), "4 channels"),
        (tiff(COLOUR.astype(np.complex64)[..., 0]), "complex"),
        (tiff(COLOUR, photometric="rgb", compression="webp", compressionargs={"lossless": True}), "WebP"),
        (imagecodecs.jpegls_encode(COLOUR), "JPEG-LS"),
        (imagecodecs.jpegxl_encode(COLOUR), "JPEG XL"),
    ],
)
def test_what_is_not_read_is_named(data, name):
    with pytest.raises(DecodeError, match=name) as caught:
        decode(data, "kind")
    assert "damaged" not in caught.value.reason


def test_jpeg_2000_of_8_and_12_bits():
    np.testing.assert_array_equal(close(imagecodecs.jpeg2k_encode(COLOUR, level=0)).pixels, COLOUR)
    close(imagecodecs.jpeg2k_encode(DEEP >> 4, level=0, bitspersample=12), note="12 bits")


def test_avif_and_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    close(saved(Image.fromarray(COLOUR), "AVIF", quality=95), most=8)
    buffer = io.BytesIO()
    try:
        pillow_heif.from_pillow(Image.fromarray(COLOUR)).save(buffer, quality=95)
    except Exception:
        pytest.skip("no encoder of HEIC here")
    assert close(buffer.getvalue(), most=8).format == "HEIF"


def dicom(pixels, syntax=pydicom.uid.ExplicitVRLittleEndian, **fields):
    """A DICOM file of ``pixels``."""
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    found.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["cell"])
    found.Rows, found.Columns = pixels.shape[:2]
    found.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    found.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    found.BitsAllocated = 8 * pixels.dtype.itemsize
    found.BitsStored, found.HighBit = found.BitsAllocated, found.BitsAllocated - 1
    found.PixelRepresentation = 0
    if pixels.ndim == 3:
        found.PlanarConfiguration = 0
    for name, value in fields.items():
        setattr(found, name, value)
    if "PixelData" not in fields:
        found.PixelData = pixels.tobytes()
        found["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, found, enforce_file_format=True)
    return buffer.getvalue()


def test_dicom():
    found = close(dicom(COLOUR, PixelSpacing=[0.0001, 0.0001]), most=0)
    assert found.format == "DICOM"
    assert found.pixel_size == pytest.approx(0.1)
    grey = np.repeat(GREY[..., None], 3, 2)
    close(dicom(GREY.astype(np.uint16) * 16, BitsStored=12, HighBit=11), grey, note="12 bits")
    close(dicom(255 - GREY, PhotometricInterpretation="MONOCHROME1"), grey, note="from white to black")


def test_dicom_of_jpeg():
    inside = pydicom.encaps.encapsulate([saved(Image.fromarray(COLOUR), "JPEG", quality=95)])
    close(dicom(COLOUR, pydicom.uid.JPEGBaseline8Bit, PixelData=inside), most=8)


@given(
    kind=st.sampled_from(["u1", "u2", "i1", "i2", "u4", "i4", "f4", "f8"]),
    channels=st.sampled_from([1, 3, 4]),
    seed=st.integers(0, 2**32 - 1),
    order=st.sampled_from("<>"),
    big=st.booleans(),
    scale=st.floats(1e-3, 1),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_samples_are_they_become_a_picture_in_their_order(kind, channels, seed, order, big, scale):
    rng = np.random.default_rng(seed)
    top = np.iinfo(kind).max * scale if kind[0] != "f" else 1e4 * scale
    ramp = np.sort(rng.uniform(-top if kind[0] != "u" else 0, top, 32 * 32)).reshape(32, 32)
    values = np.stack([ramp] * channels, axis=-1).astype(kind)
    if channels == 4:
        values[..., 3] = values[..., :3].max()
    values = values[..., 0] if channels == 1 else values
    photometric = "minisblack" if channels == 1 else "rgb"
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    data = tiff(values, photometric=photometric, byteorder=order, bigtiff=big, **extra)
    found = decode(data, "any")
    assert found.pixels.shape == (32, 32, 3) == (*read_header(data, "any").shape, 3)
    assert (np.diff(found.pixels[..., 0].ravel().astype(int)) >= 0).all()


@given(place=st.integers(0, 400), value=st.integers(0, 255), kind=st.sampled_from(["t", "p", "d", "j", "i"]))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_a_picture_or_a_clear_refusal(place, value, kind):
    data = SEEDS[kind]
    data = data[: place % len(data)] + bytes([value]) + data[place % len(data) + 1 :]
    try:
        pixels = decode(data, "changed").pixels
    except DecodeError:  # whatever else is raised fails the test
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3


SEEDS = {
    "t": tiff(DEEP, photometric="rgb"),
    "p": png(DEEP, 2),
    "d": dicom(COLOUR),
    "j": imagecodecs.jpeg2k_encode(COLOUR, level=0),
    "i": tiff(np.moveaxis(COLOUR, -1, 0), imagej=True, metadata={"axes": "CYX"}),
}
