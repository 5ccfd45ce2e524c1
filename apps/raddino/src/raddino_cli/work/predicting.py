"""Masks of a model as files: of the images it was tested on, and of any radiograph at its own size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import cxr_io
import numpy as np
import pydicom
import raddino_encoders
import raddino_seg
from numpy.typing import NDArray

from raddino_cli.console import Progress, say
from raddino_cli.work.features import load_features
from raddino_cli.work.segmenting import encoder_of, load_model, tokens_of

FORMS = {"png": ".png", "nifti": ".nii.gz", "dicom": ".seg.dcm"}
"""Endings by form of file."""


def predict_split(head: Path, folder: Path, out: Path, size: int) -> int:
    """Write the masks of the split test as PNG of the central squares; returns of how many images."""
    features = load_features(folder)
    model = load_model(head, features)
    if not isinstance(model, raddino_seg.Decoder):
        raise ValueError(f"expected --source with radiographs: {head} reads images, and the features hold tokens alone")
    rows = features.rows("test")
    out.mkdir(parents=True, exist_ok=True)
    for row, mask in zip(rows, model.predict(tokens_of(features, rows), (size, size)), strict=True):
        _write_png(out / f"{features.samples['key'][row]}.png", mask, model.classes)
    return len(rows)


def predict_files(
    head: Path,
    folder: Path,
    source: Path,
    out: Path,
    *,
    forms: Sequence[str] = ("png",),
    tiles: int = 1,
    progress: Progress | None = None,
) -> tuple[int, int]:
    """Write the masks of radiographs at their own size and spacing, as `out/<name>.png` and the like.

    Args:
        head: the model.
        folder: features, which name the encoder.
        source: a radiograph, or a folder that is searched.
        out: folder to write; what is there is not made again.
        forms: of `FORMS`; "dicom" for DICOM sources alone.
        tiles: windows that the short side takes; more see the image enlarged.
        progress: called with (images done, images in all).

    Returns:
        How many images there are masks of, and how many files were no radiographs or could not be referred to.
    """
    for form in forms:
        if form not in FORMS:
            raise ValueError(f"--format: expected {', '.join(FORMS)}; got {form!r}")
    features = load_features(folder)
    model, encoder = load_model(head, features), encoder_of(features)
    records = [(source, source.name)] if source.is_file() else _records(source)
    bad = 0
    for done, (path, name) in enumerate(records, 1):
        wanted = [form for form in forms if not _made(out / f"{name}{FORMS[form]}", model, form)]
        try:
            if wanted:
                radiograph = cxr_io.read(path)
                mask = predict_radiograph(model, encoder, radiograph, features.facts["fit"], tiles)
                for form in wanted:
                    _write(form, out / f"{name}{FORMS[form]}", mask, model, radiograph, path)
        except (cxr_io.CxrError, raddino_seg.SegError, pydicom.errors.InvalidDicomError) as error:
            say(f"{name}: {error}")
            bad += 1
        if progress:
            progress(done, len(records))
    return len(records) - bad, bad


def predict_radiograph(
    model: raddino_seg.Model, encoder: raddino_encoders.Encoder, radiograph: cxr_io.Radiograph, fit: str, tiles: int
) -> raddino_seg.Masks:
    """The mask of a radiograph, as many pixels as it has: windows of the encoder's input over a smaller copy.

    With one window along the short side the copy has the scale at which `fit` placed the training images.
    """
    side = encoder.image_size

    def chances(windows: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        inputs = encoder.preprocess(windows)
        if isinstance(model, raddino_seg.Decoder):
            inputs = encoder.encode(inputs).patches
        return model.probabilities(inputs, (side, side)).numpy()

    copy = _copy(radiograph, encoder.preprocessing, fit, tiles)
    top, left = (max(side - length, 0) // 2 for length in copy.shape)
    bottom, right = (max(side - length, 0) - start for length, start in zip(copy.shape, (top, left), strict=True))
    padded = np.pad(copy, ((top, bottom), (left, right)))
    found = raddino_seg.predict_tiled(chances, padded, side)[:, top : top + len(copy), left : left + copy.shape[1]]
    height, width = radiograph.pixels.shape
    large = np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in found])
    return raddino_seg.decide(large, model.overlapping)


def _copy(
    radiograph: cxr_io.Radiograph, preprocessing: raddino_encoders.Preprocessing, fit: str, tiles: int
) -> NDArray[np.uint16]:
    """The radiograph at `tiles` times the scale of the training images."""
    side = preprocessing.size * tiles
    if fit == "stretch":
        even = cxr_io.resize_radiograph(radiograph, side)
        return np.asarray(cv2.resize(even, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint16)
    if fit == "letterbox":
        sides = radiograph.pixels.shape[0] * radiograph.aspect, radiograph.pixels.shape[1]
        return cxr_io.resize_radiograph(radiograph, max(round(side * min(sides) / max(sides)), 1))
    return cxr_io.resize_radiograph(radiograph, max(preprocessing.short_side or 0, preprocessing.size) * tiles)


def _records(source: Path) -> list[tuple[Path, str]]:
    _, records = cxr_io.list_items(source, "folder", None)
    return [(record.path, record.name) for record in records]


def _made(path: Path, model: raddino_seg.Model, form: str) -> bool:
    if form == "png" and model.overlapping:
        return all(part.exists() for part in _parts(path, model.classes))
    return path.exists()


def _write(
    form: str,
    path: Path,
    mask: raddino_seg.Masks,
    model: raddino_seg.Model,
    radiograph: cxr_io.Radiograph,
    source: Path,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "png":
        _write_png(path, mask, model.classes)
    elif form == "nifti":
        raddino_seg.write_nifti(path, mask, radiograph.spacing_mm)
    else:
        header = pydicom.dcmread(source, stop_before_pixels=True)
        raddino_seg.write_dicom_seg(path, mask, model.classes, header)


def _write_png(path: Path, mask: raddino_seg.Masks, classes: Sequence[str]) -> None:
    """A label map as one file; of structures that overlap a file each, 0 and 255."""
    if mask.ndim == 2:
        _png(path, mask)
        return
    for part, plane in zip(_parts(path, classes), mask, strict=True):
        _png(part, plane.astype(np.uint8) * 255)


def _parts(path: Path, classes: Sequence[str]) -> list[Path]:
    return [path.with_name(f"{path.stem}.{name.replace(' ', '-')}.png") for name in classes]


def _png(path: Path, pixels: NDArray[Any]) -> None:
    part = path.with_name(f".{path.name}.part.png")
    cv2.imwrite(str(part), pixels)
    part.replace(path)
