"""Masks as DICOM Segmentation objects that refer to the radiograph they were made of."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raddino_seg._errors import SegError
from raddino_seg._files import write_bytes
from raddino_seg._masks import Masks

if TYPE_CHECKING:
    from pydicom import Dataset

_TYPES = (("lung", "Lung"), ("heart", "Heart"), ("rib", "Rib"))
"""A word of a class's name, and SNOMED CT's name of the structure; any other is an anatomical structure."""


def write_dicom_seg(path: str | Path, mask: Masks, classes: Sequence[str], source: Dataset) -> None:
    """Write the mask of a radiograph as a binary DICOM Segmentation, a segment a class, whole or not at all.

    Patient and study are the source's; the series is new. Every frame refers to the source image, which is what places
    it: a projection has no frame of reference, and its spacing depends on the depth, so that none is written.

    Args:
        path: of the file.
        mask: label map (H, W) or planes (C, H, W) of the size of the source's pixels as they are stored.
        classes: their names.
        source: the radiograph's data set; its pixels are not needed.

    Raises:
        SegError: highdicom is not installed, a mask of another size, a source that lacks what a reference needs.
    """
    try:
        import highdicom
    except ImportError as error:
        raise SegError("DICOM SEG needs highdicom: pip install 'raddino-seg[dicom]'") from error
    planes = _planes(mask, classes)
    expected = (source.get("Rows"), source.get("Columns"))
    if planes.shape[1:] != expected:
        raise SegError(f"expected a mask of the source's {expected} rows and columns, got {planes.shape[1:]}")
    kinds = [_segment(highdicom, number, name) for number, name in enumerate(classes, 1)]
    try:
        found = highdicom.seg.Segmentation(
            [_without_spacing(source)],
            np.moveaxis(planes, 0, -1)[None].astype(np.uint8),
            highdicom.seg.SegmentationTypeValues.BINARY,
            kinds,
            series_instance_uid=highdicom.UID(),
            series_number=1,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="raddino",
            manufacturer_model_name="raddino-seg",
            software_versions=version("raddino-seg"),
            device_serial_number="none",
            content_label="RADDINO_SEG",
            omit_empty_frames=False,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SegError(f"expected a DICOM image that a segmentation can refer to: {error}") from error
    found.PatientOrientation = source.get("PatientOrientation") or ""
    buffer = io.BytesIO()
    found.save_as(buffer)
    write_bytes(Path(path), buffer.getvalue())


def _planes(mask: Masks, classes: Sequence[str]) -> NDArray[np.bool_]:
    if mask.ndim == 3 and mask.dtype == np.bool_ and len(mask) == len(classes):
        return mask
    if mask.ndim != 2 or int(mask.max(initial=0)) > len(classes):
        raise SegError(
            f"expected a label map (H, W) of values 0..{len(classes)}, or {len(classes)} boolean planes; got "
            f"{mask.dtype} of shape {mask.shape} and values to {mask.max(initial=0)}"
        )
    return np.stack([mask == k for k in range(1, len(classes) + 1)])


def _segment(highdicom: Any, number: int, name: str) -> Any:
    from pydicom.sr.codedict import codes

    kind = next((kind for word, kind in _TYPES if word in name.lower()), "AnatomicalStructure")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="raddino-seg", version=version("raddino-seg"), family=codes.cid7162.ArtificialIntelligence
    )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=getattr(codes.SCT, kind),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )


def _without_spacing(source: Dataset) -> Dataset:
    """Its header, less the spacing and the pixels."""
    from pydicom import Dataset

    header = Dataset(
        {element.tag: element for element in source if element.keyword not in ("PixelData", "PixelSpacing")}
    )
    header.file_meta = source.file_meta
    return header
