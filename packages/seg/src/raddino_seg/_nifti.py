"""Masks as NIfTI files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from raddino_seg._errors import SegError
from raddino_seg._files import write_bytes
from raddino_seg._masks import Masks
from raddino_seg._surface import Spacing


def write_nifti(path: str | Path, mask: Masks, spacing: Spacing | None) -> None:
    """Write a label map (H, W), or planes (C, H, W), as NIfTI of uint8, whole or not at all.

    Axes are columns, rows, one slice and, for planes, the structures; columns run to the left of the patient and rows
    to the back (LPS, as ITK takes a plain image to lie), for no file of a radiograph says more. Without a spacing the
    header's unit is unknown.

    Args:
        path: ends with .nii or .nii.gz.
        mask: of one image.
        spacing: of its rows and columns in mm, or None.

    Raises:
        SegError: nibabel is not installed, another ending, a mask of more or fewer axes.
    """
    try:
        import nibabel
    except ImportError as error:
        raise SegError("NIfTI needs nibabel: pip install 'raddino-seg[nifti]'") from error
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise SegError(f"expected a path that ends with .nii or .nii.gz, got {path}")
    if mask.ndim not in (2, 3):
        raise SegError(f"expected a mask (H, W) or planes (C, H, W) of one image, got {mask.shape}")
    array = mask.astype(np.uint8).T  # (W, H), or (W, H, C)
    array = array[:, :, None] if mask.ndim == 2 else array[:, :, None, :]
    rows, columns = spacing or (1.0, 1.0)
    image = nibabel.Nifti1Image(array, np.diag([-columns, -rows, 1.0, 1.0]))  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units(xyz="mm" if spacing else "unknown")  # type: ignore[no-untyped-call]
    data = image.to_bytes()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    write_bytes(path, data)
