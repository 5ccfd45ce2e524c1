"""NIfTI through nibabel: volumes and masks, and images of one slice."""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_io._errors import CxrError
from cxr_io._intensity import count, look_up, stretch
from cxr_io._limits import Limits, refuse_small

_VOLUME = Limits(decoded_bytes=2 << 30)
_HEADER = 348


@dataclass(frozen=True)
class Volume:
    """`array` (X, Y, Z, ...) as stored, scaled where the header says so; `spacing_mm` an axis of space.

    `affine` (4, 4) float64 maps indices to millimetres in the scanner's right, anterior, superior.
    """

    array: NDArray[Any]
    spacing_mm: tuple[float, ...]
    affine: NDArray[np.float64]


def looks_like_nifti(head: bytes, path: Path) -> bool:
    """Whether a file's first 348 bytes are a NIfTI-1 or NIfTI-2 header, or it is gzip and named .nii.gz."""
    if head.startswith(b"\x1f\x8b"):
        return path.name.lower().endswith(".nii.gz")
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def read_volume(path: str | Path, *, limits: Limits = _VOLUME) -> Volume:
    """Read a NIfTI volume or mask (.nii, .nii.gz), by default of at most 2 GiB of voxels; needs the extra `nifti`.

    Raises `CxrError` with the code missing_file, missing_codec, not_an_image, unreadable or too_large.
    """
    return _load(Path(path), limits, flat=False)


def read_slice(path: Path, intensity: str, limits: Limits) -> tuple[NDArray[np.uint16], tuple[float, float]]:
    """Pixels (H, W) over 0..65535 and spacing of a NIfTI file of one slice; its first axis is the columns."""
    volume = _load(path, limits, flat=True)
    columns, rows = volume.array.shape[:2]
    values = volume.array.reshape(columns, rows).T
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise CxrError("unreadable", "expected finite numbers in a NIfTI image")
    refuse_small(rows, columns)
    words = _words(values)
    counts = count(words)
    levels = stretch(np.arange(len(counts), dtype=float), counts, intensity == "percentile")
    return look_up(words, levels), (volume.spacing_mm[1], volume.spacing_mm[0])


def _load(path: Path, limits: Limits, *, flat: bool) -> Volume:
    """A file's voxels; refused unread where they should be one slice and are not."""
    try:
        import nibabel
        from nibabel.imageglobals import LoggingOutputSuppressor
    except ImportError as error:
        raise CxrError(
            "missing_codec", "expected nibabel to read NIfTI, it is not installed; pip install 'cxr-io[nifti]'"
        ) from error
    try:
        limits.check_file(path.stat().st_size)
        _refuse_far_data(path, limits)
        with LoggingOutputSuppressor():  # what it mends in a header it would print
            image: Any = nibabel.load(path)
            _refuse_shape(image, limits, flat)
            spacing = tuple(float(step) for step in image.header.get_zooms()[:3])
            return Volume(np.asanyarray(image.dataobj), spacing, np.asarray(image.affine, np.float64))
    except CxrError:
        raise
    except FileNotFoundError as error:
        raise CxrError("missing_file", f"expected a file, found none at {path}") from error
    except Exception as error:  # nibabel promises no set of exceptions for damaged files
        raise CxrError(
            "unreadable", f"expected a NIfTI file that can be read; it raised {type(error).__name__}"
        ) from error


def _refuse_shape(image: Any, limits: Limits, flat: bool) -> None:
    shape = image.shape
    if flat and (len(shape) < 2 or math.prod(shape) != shape[0] * shape[1]):
        raise CxrError("volume", f"expected a 2-D image, got a volume of shape {shape}; read_volume reads it")
    scaled = image.dataobj.slope != 1 or image.dataobj.inter != 0  # to float64
    if flat:
        limits.check_image(shape[1], shape[0])
    limits.check_decoded("volume", math.prod(shape) * (8 if scaled else image.get_data_dtype().itemsize))


def _words(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Values in 65,536 steps from the smallest to the largest; integers in fewer steps are kept as they are."""
    low, high = float(values.min()), float(values.max())
    step = max((high - low) / 65535, 1.0 if values.dtype.kind in "iu" else 0.0) or 1.0
    return np.ascontiguousarray(np.rint((values - low) / step), dtype=np.uint16)


def _refuse_far_data(path: Path, limits: Limits) -> None:
    """Refuse data that lie so far from the header that a bomb must be decompressed to find them."""
    with path.open("rb") as file:
        head = file.read(2)
    with gzip.open(path) if head == b"\x1f\x8b" else path.open("rb") as file:
        header = file.read(_HEADER)
    if not looks_like_nifti(header, path) or len(header) < _HEADER:
        raise CxrError("not_an_image", f"expected NIfTI, got a file of another kind ({path.suffix or 'no suffix'})")
    order = "<" if header[0] in (0x5C, 0x1C) else ">"
    two = header[4:8] == b"n+2\0"
    offset = struct.unpack_from(order + ("q" if two else "f"), header, 168 if two else 108)[0]
    if not offset <= limits.decoded_bytes:
        raise CxrError("too_large", f"expected the voxels within {limits.decoded_bytes:,} bytes of the header")
