"""One DICOM radiograph: modality LUT, then VOI policy, then inversion to MONOCHROME2 sense (PS3.3 C.11, PS3.4 N.2)."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

from cxr_io._errors import CxrError
from cxr_io._intensity import FULL, to_sixteen_bits

# OT is how secondary captures and scanned film are often filed.
MODALITIES = frozenset({"CR", "DX", "RG", "OT", "SC", ""})
MOST_PIXELS = 120_000_000
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file's first 132 bytes are a preamble with DICM, or a data set that starts without one."""
    return head[128:132] == b"DICM" or head[:4] in (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")


def read_header(path: Path) -> Dataset:
    """The data set before the pixels; refuses what is no radiograph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            modality = str(ds.get("Modality") or "")
        except (
            InvalidDicomError,
            EOFError,
            OSError,
            ValueError,
            KeyError,
            AttributeError,
            NotImplementedError,
        ) as error:
            raise CxrError("unreadable", f"expected a DICOM file, got one that pydicom can't parse: {error}") from error
    if modality not in MODALITIES:
        raise CxrError(
            "not_a_radiograph", f"expected a radiograph (CR, DX or secondary capture), got modality {modality}"
        )
    return ds


def read_dicom(path: Path, intensity: str) -> tuple[NDArray[np.uint16], Dataset]:
    """Pixels (H, W) over 0..65535 in MONOCHROME2 sense, and the data set."""
    _refuse_before_decoding(read_header(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = pydicom.dcmread(path, force=True)
            if "PixelData" not in ds:
                raise CxrError("no_pixels", "expected an image, got a DICOM file without PixelData")
            stored = _decode(ds)
            return _to_monochrome2(ds, stored, intensity), ds
        except CxrError:
            raise
        except (EOFError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
            raise CxrError("unreadable", f"expected a readable DICOM image; {_first_line(error)}") from error


def metadata(ds: Dataset) -> dict[str, Any]:
    """What may be known of a radiograph without knowing whose it is: an allow-list, absent values left out."""
    found: dict[str, Any] = {}
    view = str(ds.get("ViewPosition") or "").upper()
    if view in ("PA", "AP"):
        found["view"] = view
    elif view in ("LL", "RL", "LAT", "LATERAL"):
        found["view"] = "LATERAL"
    if ds.get("PatientSex") in ("M", "F"):
        found["sex"] = str(ds.PatientSex)
    if (age := _years(str(ds.get("PatientAge") or ""))) is not None:
        found["age"] = age
    height, weight = _number(ds.get("PatientSize")), _number(ds.get("PatientWeight"))
    if height:
        found["height_cm"] = round(height * 100, 1)
    if weight:
        found["weight_kg"] = weight
    if height and weight:
        found["bmi"] = round(weight / height**2, 1)
    if ds.get("Manufacturer"):
        found["manufacturer"] = str(ds.Manufacturer)
    return found


def spacing(ds: Dataset) -> tuple[float, float] | None:
    """Row and column spacing in mm: PixelSpacing if there, else the detector's own."""
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        value = ds.get(name)
        if value is not None and len(value) == 2 and all((_number(v) or 0) > 0 for v in value):
            return float(value[0]), float(value[1])
    return None


def _refuse_before_decoding(ds: Dataset) -> None:
    rows, columns, frames = (int(_number(ds.get(name)) or 0) for name in ("Rows", "Columns", "NumberOfFrames"))
    if not rows or not columns:
        raise CxrError("no_pixels", "expected an image, got a DICOM file without Rows and Columns")
    if frames > 1:
        raise CxrError("multi_frame", f"expected one image, got {frames} frames; split the file first")
    if rows * columns > MOST_PIXELS:
        raise CxrError("too_large", f"expected at most {MOST_PIXELS:,} pixels, got {columns} x {rows}")


def _decode(ds: Dataset) -> NDArray[Any]:
    syntax = ds.file_meta.get("TransferSyntaxUID") if hasattr(ds, "file_meta") else None
    if syntax is None:
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    elif not syntax.is_compressed:
        expected = ds.Rows * ds.Columns * ds.get("SamplesPerPixel", 1) * ds.BitsAllocated // 8
        if len(ds.PixelData) < expected:
            raise CxrError(
                "truncated", f"expected {expected:,} bytes of pixels, got {len(ds.PixelData):,}; copy it again"
            )
    try:
        array: NDArray[Any] = ds.pixel_array
    except (RuntimeError, NotImplementedError) as error:
        if syntax is not None and syntax.is_compressed and "missing dependencies" in str(error):
            raise CxrError(
                "missing_codec",
                f"expected a decoder for {syntax.name}, none is installed; pip install 'cxr-io[codecs]'",
            ) from error
        raise CxrError(
            "unreadable", f"expected pixels that decode as {getattr(syntax, 'name', 'raw')}; {_first_line(error)}"
        ) from error
    return array


def _to_monochrome2(ds: Dataset, stored: NDArray[Any], intensity: str) -> NDArray[np.uint16]:
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, ds)
    if stored.ndim == 3:
        return to_sixteen_bits(stored[..., :3] @ _LUMA, None, intensity == "percentile")
    kept = _unpadded(ds, stored)
    values = apply_modality_lut(stored, ds)
    if intensity == "window" and ("WindowCenter" in ds or "VOILUTSequence" in ds):
        values = apply_voi_lut(values, ds)
    pixels = to_sixteen_bits(np.asarray(values, dtype=np.float64), kept, intensity == "percentile")
    if ds.PhotometricInterpretation == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        pixels = FULL - pixels
        if kept is not None:
            pixels[~kept] = 0
    return pixels


def _unpadded(ds: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where the pixels are not padding; None where all are kept."""
    if "PixelPaddingValue" not in ds:
        return None
    low = high = int(ds.PixelPaddingValue)
    if "PixelPaddingRangeLimit" in ds:
        low, high = sorted((low, int(ds.PixelPaddingRangeLimit)))
    kept: NDArray[np.bool_] = (stored < low) | (stored > high)
    return None if kept.all() else kept


def _years(text: str) -> float | None:
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text.strip().upper())
    if not match:
        return None
    days = {"D": 1, "W": 7, "M": 30.4375, "Y": 365.25}[match[2]] * int(match[1])
    return float(match[1]) if match[2] == "Y" else round(days / 365.25, 3)


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
