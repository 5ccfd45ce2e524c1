"""Any radiograph file to single-channel pixels in MONOCHROME2 sense."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_io import _dicom
from cxr_io._dataset import looks_like_dicom, untrusted
from cxr_io._errors import CxrError
from cxr_io._geometry import aspect, spacing
from cxr_io._intensity import check_policy
from cxr_io._limits import LIMITS, Limits, refuse_frames
from cxr_io._nifti import looks_like_nifti, read_slice
from cxr_io._raster import SIGNATURES, read_raster
from cxr_io._raw import JSRT_SPACING_MM, is_jsrt, read_jsrt


@dataclass(frozen=True)
class Radiograph:
    """One image. `pixels` (H, W) uint16 over 0..65535 as stored, bright where the body is dense.

    `spacing_mm` is that of rows and columns, `spacing_from` the attribute that gave it, such as `ImagerPixelSpacing`
    (at the detector) or `PixelSpacing FIDUCIAL` (in the patient). `aspect` is a pixel's height by its width.
    `metadata` holds those known of view, sex, age, height_cm, weight_kg, bmi and, as the header has it, manufacturer.
    `patient` and `study` are the raw identifiers, for grouping; nothing writes them.
    """

    pixels: NDArray[np.uint16]
    spacing_mm: tuple[float, float] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    patient: str | None = field(default=None, repr=False)
    study: str | None = field(default=None, repr=False)
    spacing_from: str | None = None
    aspect: float = 1.0


def read(
    path: str | Path, *, intensity: str = "minmax", frame: int | None = None, limits: Limits = LIMITS
) -> Radiograph:
    """Read a DICOM, PNG, JPEG, TIFF or NIfTI radiograph.

    `intensity` is one of `POLICIES`: `minmax` spreads the values from smallest to largest over 0..65535, `percentile`
    those from the 0.5th to the 99.5th percentile; `window` takes the file's first VOI LUT or, without one, its first
    window, and where it has neither is `minmax`. Padding has no say and is 0. A file of several frames needs `frame`,
    from 0. `limits` are the most pixels and bytes that are taken on.

    Raises `CxrError` for what is no radiograph; its code says why: missing_file, not_an_image, unreadable, truncated,
    no_pixels, not_a_radiograph, multi_frame, volume, missing_codec, too_small, too_large, constant.
    """
    check_policy(intensity)
    path = Path(path)
    kind = kind_of(path)
    if kind == "dicom":
        pixels, ds = _dicom.read_dicom(path, intensity, frame, limits)
        with untrusted():
            found, source = spacing(ds)
            return Radiograph(pixels, found, _dicom.metadata(ds), *identifiers(ds), source, aspect(ds))
    if kind == "nifti":
        refuse_frames(1, frame)
        pixels, found = read_slice(path, intensity, limits)
        return Radiograph(pixels, found, spacing_from="pixdim", aspect=found[0] / found[1])
    if kind == "jsrt":
        refuse_frames(1, frame)
        return Radiograph(read_jsrt(path, intensity), (JSRT_SPACING_MM, JSRT_SPACING_MM))
    return Radiograph(read_raster(path, intensity, frame, limits))


def identifiers(ds: Any) -> tuple[str | None, str | None]:
    """Raw patient and study identifiers of a data set."""
    with untrusted():
        return (str(ds.get("PatientID") or "") or None), (str(ds.get("StudyInstanceUID") or "") or None)


def kind_of(path: Path) -> str:
    """`dicom`, `nifti`, `raster` or `jsrt`, told by the first bytes rather than the name."""
    try:
        with path.open("rb") as file:
            head = file.read(348)
    except FileNotFoundError as error:
        raise CxrError("missing_file", f"expected a file, found none at {path}") from error
    except OSError as error:
        raise CxrError("unreadable", f"expected a readable file; {error.strerror}") from error
    if head[128:132] == b"DICM":  # even where the preamble makes it a TIFF as well
        return "dicom"
    if head.startswith(SIGNATURES):
        return "raster"
    if looks_like_nifti(head, path):
        return "nifti"
    if looks_like_dicom(head) or path.suffix.lower() in (".dcm", ".dicom"):
        return "dicom"
    if is_jsrt(path):
        return "jsrt"
    raise CxrError(
        "not_an_image",
        f"expected DICOM, PNG, JPEG, TIFF or NIfTI, got a file of another kind ({path.suffix or 'no suffix'})",
    )
