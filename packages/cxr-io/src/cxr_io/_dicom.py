"""One DICOM radiograph: modality LUT, then VOI policy, then inversion to MONOCHROME2 sense (PS3.3 C.11, PS3.4 N.2)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cxr_io import _voi
from cxr_io._dataset import OpenDataset, untrusted
from cxr_io._errors import CxrError
from cxr_io._intensity import count, look_up, stretch
from cxr_io._limits import Limits, refuse_frames, refuse_small
from cxr_io._syntax import decode

# OT is how secondary captures and scanned film are often filed.
MODALITIES = frozenset({"CR", "DX", "RG", "OT", "SC", ""})
# Repeated where a header has them; any other text is not, as it may hold anything.
OTHER_MODALITIES = frozenset({
    "BI", "BMD", "CT", "DOC", "ECG", "EPS", "ES", "GM", "HD", "IO", "IVUS", "KO", "MG", "MR", "NM", "OCT", "OP", "OPT",
    "PR", "PT", "PX", "REG", "RF", "RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "SEG", "SM", "SR", "TG", "US", "XA", "XC",
})  # fmt: skip


def read_dicom(path: Path, intensity: str, frame: int | None, limits: Limits) -> tuple[NDArray[np.uint16], Dataset]:
    """Pixels (H, W) over 0..65535 in MONOCHROME2 sense, and the data set."""
    with untrusted():
        with OpenDataset(path, limits) as file:
            _refuse_modality(file.header)
            _refuse_before_decoding(file.header, frame, limits)
            ds = file.whole()
        samples, photometric = decode(ds, frame or 0, limits)
        return _to_monochrome2(ds, samples, photometric, intensity), ds


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


def _refuse_modality(ds: Dataset) -> None:
    modality = str(ds.get("Modality") or "")
    if modality not in MODALITIES:
        told = f"modality {modality}" if modality in OTHER_MODALITIES else "another modality"
        raise CxrError("not_a_radiograph", f"expected a radiograph (CR, DX or secondary capture), got {told}")


def _refuse_before_decoding(ds: Dataset, frame: int | None, limits: Limits) -> None:
    rows, columns, frames = (int(_number(ds.get(name)) or 0) for name in ("Rows", "Columns", "NumberOfFrames"))
    if rows < 1 or columns < 1:
        raise CxrError("no_pixels", "expected an image, got a DICOM file without Rows and Columns")
    ds.SamplesPerPixel = int(ds.get("SamplesPerPixel") or 1)
    if ds.SamplesPerPixel not in (1, 3) or int(ds.BitsAllocated) not in (1, 8, 16, 32):
        raise CxrError(
            "unreadable",
            "expected 1 or 3 samples a pixel of 1, 8, 16 or 32 bits, "
            f"got {ds.SamplesPerPixel} of {int(ds.BitsAllocated)}",
        )
    limits.check_image(rows, columns, ds.SamplesPerPixel * (int(ds.BitsAllocated) + 7 >> 3))
    refuse_frames(max(frames, 1), frame)


def _to_monochrome2(ds: Dataset, samples: NDArray[Any], photometric: str, intensity: str) -> NDArray[np.uint16]:
    colour = samples.ndim == 3
    words = _as_words(ds, _voi.grey(samples, photometric) if colour else samples)
    refuse_small(ds.Rows, ds.Columns)
    counts = count(words)
    if colour:
        return look_up(words, stretch(np.arange(len(counts), dtype=float), counts, intensity == "percentile"))
    stored = _voi.stored_values(ds, words)
    if photometric == "PALETTE COLOR":
        return look_up(words, stretch(_voi.palette(ds, stored), counts, intensity == "percentile"))
    padding = _voi.padding(ds, stored)
    counts[padding] = 0
    values = _voi.modality(ds, stored)
    # DX says the same thing twice, by MONOCHROME1 and by INVERSE: it is turned over once (PS3.3 C.11.6.1.2).
    turned = photometric == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE"
    if intensity == "window" and _voi.has_voi(ds):
        levels = _voi.voi(ds, values)
        stretch(levels, counts)  # refuses what the window makes constant
        levels = 1 - levels if turned else levels
    else:
        levels = stretch(-values if turned else values, counts, intensity == "percentile")
    levels[padding] = 0
    return look_up(words, levels)


def _as_words(ds: Dataset, samples: NDArray[Any]) -> NDArray[Any]:
    """Samples as native unsigned words of 8 or 16 bits, the picture itself where it has them already."""
    if samples.itemsize > 2:
        if int(ds.BitsStored) > 16:
            raise CxrError("unreadable", f"expected at most 16 bits stored, got {int(ds.BitsStored)}")
        samples = samples.astype(np.uint16)
    native = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(native).view(f"u{native.itemsize}")


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
