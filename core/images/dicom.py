"""Pictures in DICOM files (pydicom): microscopy and screen captures of one frame, plain or compressed."""

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.images.file_structure import BrokenError, ExcessiveError
from core.images.samples import SampledPicture, UnsupportedError

_PIXELS = (b"\xe0\x7f\x10\x00O", b"\x7f\xe0\x00\x10O", b"\xe0\x7f\x10\x00\xff", b"\xe0\x7f\x10\x00")
_MAX_HEADER = 2**20
_MAX_PIECES = 20_000
_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_RLE, _JPEG_LS = "1.2.840.10008.1.2.5", ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_PICTURES = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")  # JPEG, JPEG 2000


@dataclass(frozen=True)
class DicomPicture:
    """``size`` (width, height) of the first frame; ``pixel_sizes``: µm along x and y, where stated; ``encoded``: its
    first frame where that is a JPEG or JPEG 2000 of its own.
    """

    size: tuple[int, int]
    needed_bytes: int
    pixel_sizes: list[tuple[float, float]]
    notes: tuple[str, ...]
    encoded: bytes
    dataset: Any
    syntax: str

    def load(self) -> SampledPicture:
        """The samples of the first frame. Raises `UnsupportedError`."""
        return _samples(self)


def open_dicom(data: bytes) -> DicomPicture:
    """The picture in a DICOM file, its pixels not yet unpacked. Raises `UnsupportedError`, `BrokenError` and
    `ExcessiveError`.
    """
    import pydicom
    from pydicom.encaps import get_frame

    start = next((place for mark in _PIXELS if (place := data.find(mark, 132)) >= 0), -1)
    if start < 0:
        syntax = _syntax(data)
        if syntax.endswith("1.99"):
            raise UnsupportedError("a DICOM file that is packed as a whole (deflated)")
        raise UnsupportedError("a DICOM file without a picture")
    if start > _MAX_HEADER:
        raise ExcessiveError(f"{start / 2**20:.0f} MB of text stand before its picture")
    if data.count(b"\xfe\xff\x00\xe0", start) > _MAX_PIECES:
        raise ExcessiveError(f"its picture is cut into more than {_MAX_PIECES:,} pieces")
    try:
        found = pydicom.dcmread(io.BytesIO(data))
        syntax = str(found.file_meta.TransferSyntaxUID)
        width, height, samples = int(found.Columns), int(found.Rows), int(found.get("SamplesPerPixel", 1))
        bits, frames = int(found.BitsAllocated), int(found.get("NumberOfFrames", 1) or 1)
    except Exception as error:
        raise BrokenError("its header can't be read") from error
    if samples not in (1, 3) or bits not in (8, 16, 32):
        raise UnsupportedError(f"a DICOM picture of {samples} channels of {bits} bits")
    if syntax not in (*_PLAIN, _RLE, *_JPEG_LS, *_LOSSLESS_JPEG, *_PICTURES):
        raise UnsupportedError(f"a DICOM file whose pixels are coded as {pydicom.uid.UID(syntax).name[:80]}")
    encoded = b""
    if syntax not in _PLAIN:
        try:
            encoded = get_frame(found.PixelData, 0, number_of_frames=frames)
        except Exception as error:
            raise BrokenError("its first frame can't be found") from error
    notes = (f"the file holds {frames:,} pictures: the first was read",) if frames > 1 else ()
    needed = width * height * samples * (bits // 8) * 2
    return DicomPicture((width, height), needed, _pixel_sizes(found), notes, encoded, found, syntax)


def is_picture(picture: DicomPicture) -> bool:
    """Whether the first frame is a file of its own that any reader of pictures reads."""
    return picture.syntax in _PICTURES


def _syntax(data: bytes) -> str:
    place = data.find(b"\x02\x00\x10\x00UI", 132, 4_096)
    if place < 0:
        return ""
    length = struct.unpack_from("<H", data, place + 6)[0]
    return data[place + 8 : place + 8 + length].rstrip(b"\0 ").decode("ascii", "replace")


def _pixel_sizes(found) -> list[tuple[float, float]]:
    """mm between the centres of rows and columns, here or for all frames."""
    try:
        spacing = found.get("PixelSpacing")
        if spacing is None:
            shared = found.SharedFunctionalGroupsSequence[0]
            spacing = shared.PixelMeasuresSequence[0].PixelSpacing
        down, across = (float(v) * 1_000 for v in spacing)
        return [(across, down)]
    except Exception:
        return []


def _samples(picture: DicomPicture) -> SampledPicture:
    import imagecodecs

    found = picture.dataset
    (width, height), signed = picture.size, int(found.get("PixelRepresentation", 0)) == 1
    samples, allocated = int(found.get("SamplesPerPixel", 1)), int(found.BitsAllocated)
    kind = str(found.get("PhotometricInterpretation", "MONOCHROME2")).strip()
    dtype = np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")
    apart = int(found.get("PlanarConfiguration", 0)) == 1
    if kind not in ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "PALETTE COLOR"):
        raise UnsupportedError(f"a DICOM picture in the colours {kind[:40]}")
    if kind == "PALETTE COLOR":
        raise UnsupportedError("a DICOM picture of a palette")
    if picture.syntax in _PLAIN:
        stored_as = dtype.newbyteorder(">") if picture.syntax.endswith("1.2.2") else dtype.newbyteorder("<")
        values = np.frombuffer(found.PixelData, stored_as, width * height * samples)
        values = values.astype(dtype, copy=False)
    elif picture.syntax == _RLE:
        unpacked = imagecodecs.dicomrle_decode(
            picture.encoded, dtype.newbyteorder("<"), out=width * height * samples * dtype.itemsize
        )
        values, apart = np.frombuffer(unpacked, dtype), True
    else:
        decode = imagecodecs.jpegls_decode if picture.syntax in _JPEG_LS else imagecodecs.jpegsof3_decode
        values, apart = np.asarray(decode(picture.encoded)), False
    values = values.reshape((samples, height, width) if apart else (height, width, samples))
    planes = list(values) if apart else [values]
    if kind == "YBR_FULL":
        from PIL import Image

        whole = np.stack(planes, axis=-1) if apart else values
        if whole.dtype != np.uint8:
            raise UnsupportedError("a DICOM picture in the colours YBR_FULL of more than 8 bits")
        planes = [np.asarray(Image.fromarray(np.ascontiguousarray(whole), "YCbCr").convert("RGB"))]
    stored = int(found.get("BitsStored", allocated))
    return SampledPicture(planes, stored if not signed else None, kind == "MONOCHROME1")
