"""Any radiograph file to single-channel pixels in MONOCHROME2 sense."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_io import _dicom
from cxr_io._errors import CxrError
from cxr_io._intensity import check_policy, to_sixteen_bits
from cxr_io._raw import JSRT_SPACING_MM, is_jsrt, read_jsrt

LEAST_SIDE = 16
_LUMA = np.array([0.114, 0.587, 0.299])  # OpenCV's order is blue, green, red


@dataclass(frozen=True)
class Radiograph:
    """One image. `pixels` (H, W) uint16 over 0..65535, bright where the body is dense.

    `metadata` holds only what is allowed out (view, sex, age, height_cm, weight_kg, bmi, manufacturer). `patient` and
    `study` are the raw identifiers, for grouping; nothing writes them.
    """

    pixels: NDArray[np.uint16]
    spacing_mm: tuple[float, float] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    patient: str | None = field(default=None, repr=False)
    study: str | None = field(default=None, repr=False)


def read(path: str | Path, *, intensity: str = "minmax") -> Radiograph:
    """Read a DICOM, PNG or JPEG radiograph; `intensity` is one of `POLICIES`.

    Raises `CxrError` for what is no radiograph; its code says why: missing_file, not_an_image, unreadable, truncated,
    no_pixels, not_a_radiograph, multi_frame, missing_codec, too_small, too_large, constant.
    """
    check_policy(intensity)
    path = Path(path)
    kind = kind_of(path)
    if kind == "dicom":
        pixels, ds = _dicom.read_dicom(path, intensity)
        patient, study = identifiers(ds)
        radiograph = Radiograph(pixels, _dicom.spacing(ds), _dicom.metadata(ds), patient, study)
    elif kind == "jsrt":
        radiograph = Radiograph(read_jsrt(path, intensity), (JSRT_SPACING_MM, JSRT_SPACING_MM))
    else:
        radiograph = Radiograph(_read_raster(path, intensity))
    if min(radiograph.pixels.shape) < LEAST_SIDE:
        height, width = radiograph.pixels.shape
        raise CxrError("too_small", f"expected at least {LEAST_SIDE} pixels a side, got {width} x {height}")
    return radiograph


def identifiers(ds: Any) -> tuple[str | None, str | None]:
    """Raw patient and study identifiers of a data set."""
    return (str(ds.get("PatientID") or "") or None), (str(ds.get("StudyInstanceUID") or "") or None)


def kind_of(path: Path) -> str:
    """`dicom`, `raster` or `jsrt`, told by the first bytes rather than the name."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except FileNotFoundError as error:
        raise CxrError("missing_file", f"expected a file, found none at {path}") from error
    except OSError as error:
        raise CxrError("unreadable", f"expected a readable file; {error.strerror}") from error
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return "raster"
    if _dicom.looks_like_dicom(head) or path.suffix.lower() in (".dcm", ".dicom"):
        return "dicom"
    if is_jsrt(path):
        return "jsrt"
    raise CxrError(
        "not_an_image", f"expected DICOM, PNG or JPEG, got a file of another kind ({path.suffix or 'no suffix'})"
    )


def raster_size(path: Path) -> tuple[int, int]:
    """Width and height that a PNG or JPEG announces, without decoding it; (0, 0) where none is found."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    if head.startswith(b"\x89PNG"):
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        at += 1 if marker == 0xFF else 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return 0, 0


def _read_raster(path: Path, intensity: str) -> NDArray[np.uint16]:
    width, height = raster_size(path)
    if width * height > _dicom.MOST_PIXELS:
        raise CxrError("too_large", f"expected at most {_dicom.MOST_PIXELS:,} pixels, got {width} x {height}")
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise CxrError("unreadable", "expected a PNG or JPEG that decodes; this one is damaged") from error
    if image is None:
        raise CxrError("unreadable", "expected a PNG or JPEG that decodes; this one is damaged")
    if min(image.shape[:2]) < LEAST_SIDE:
        raise CxrError(
            "too_small", f"expected at least {LEAST_SIDE} pixels a side, got {image.shape[1]} x {image.shape[0]}"
        )
    values = image[..., :3] @ _LUMA if image.ndim == 3 else image.astype(np.float64)
    return to_sixteen_bits(values, None, intensity == "percentile")
