"""Pixel spacing and shape from a header, and which attribute they come from (PS3.3 10.7.1.3, C.7.6.3.1.7)."""

from __future__ import annotations

from pydicom.dataset import Dataset

# In the patient where PixelSpacingCalibrationType says so; at the detector, magnified; of a film on the scanner.
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_CALIBRATIONS = ("GEOMETRY", "FIDUCIAL")


def spacing(ds: Dataset) -> tuple[tuple[float, float] | None, str | None]:
    """Row and column spacing in mm and the attribute that gave it, such as `PixelSpacing GEOMETRY`.

    PixelSpacing goes first, then ImagerPixelSpacing, then NominalScannedPixelSpacing.
    """
    for name in _SPACINGS:
        if pair := _positive_pair(ds, name):
            calibration = str(ds.get("PixelSpacingCalibrationType") or "")
            calibrated = name == "PixelSpacing" and calibration in _CALIBRATIONS
            return pair, f"{name} {calibration}" if calibrated else name
    return None, None


def aspect(ds: Dataset) -> float:
    """Height of a pixel by its width: of the spacing, else of PixelAspectRatio, else 1."""
    pair = spacing(ds)[0] or _positive_pair(ds, "PixelAspectRatio") or (1.0, 1.0)
    return pair[0] / pair[1]


def _positive_pair(ds: Dataset, name: str) -> tuple[float, float] | None:
    try:
        first, second = (float(value) for value in ds.get(name) or ())
    except (TypeError, ValueError):  # one value, three, or text
        return None
    return (first, second) if 0 < first < 1e6 and 0 < second < 1e6 else None
