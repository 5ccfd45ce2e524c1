"""A linear head on the patch tokens of a folder of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import raddino_seg
from numpy.typing import NDArray

from raddino_cli.console import Progress
from raddino_cli.work.features import Features, NothingToMeasureError, load_features, read_split
from raddino_cli.work.training import square

CLASSES = {"lungs": ("right lung", "left lung"), "heart": ("heart",), "zones": tuple(f"zone {i}" for i in range(1, 7))}
MASK_SIZE = 128


def masks_of(shards: Path, features: Features, split: str, mask: str) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """The rows of a split that have the mask, and the masks (N, S, S): central squares, nearest pixel."""
    samples = {sample.key: sample for sample in read_split(shards, split)}
    rows, found = [], []
    for row in features.rows(split):
        sample = samples.get(features.samples["key"][row])
        if sample is not None and mask in sample.masks:
            rows.append(row)
            cut = np.ascontiguousarray(square(sample.masks[mask]).astype(np.uint8))
            found.append(cv2.resize(cut, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_NEAREST_EXACT))
    if not found:
        return np.array([], dtype=np.intp), np.zeros((0, MASK_SIZE, MASK_SIZE), np.uint8)
    return np.array(rows), np.stack(found)


def tokens_of(features: Features, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Patch tokens (N, D, h, w) of some rows."""
    if features.patches is None:
        raise ValueError("expected features with patch tokens; make them with `raddino embed --patches`")
    return np.asarray(features.patches[rows], dtype=np.float32)


def train_head(
    folder: Path, shards: Path, mask: str, epochs: int = 6, progress: Progress | None = None
) -> raddino_seg.LinearDecoder:
    """Fit on train, choose the epoch on val."""
    features = load_features(folder)
    rows, masks = masks_of(shards, features, "train", mask)
    if not len(rows):
        raise NothingToMeasureError(f"expected samples with a mask {mask!r} in the split train of {shards}, found none")
    held, held_masks = masks_of(shards, features, "val", mask)
    validation = (tokens_of(features, held), held_masks) if len(held) else None
    names = CLASSES.get(mask, tuple(f"class {i}" for i in range(1, int(masks.max()) + 1)))
    return raddino_seg.train(
        tokens_of(features, rows), masks, classes=names, validation=validation, epochs=epochs, progress=progress
    )


def evaluate_head(head: raddino_seg.LinearDecoder, folder: Path, shards: Path, mask: str) -> dict[str, dict[str, Any]]:
    """Dice per structure and their mean on test."""
    features = load_features(folder)
    rows, masks = masks_of(shards, features, "test", mask)
    if not len(rows):
        raise NothingToMeasureError(f"expected samples with a mask {mask!r} in the split test of {shards}, found none")
    prediction = head.predict(tokens_of(features, rows), (MASK_SIZE, MASK_SIZE))
    patients = features.column("patient")[rows]
    scores = raddino_seg.evaluate(prediction, masks, classes=head.classes, patients=patients)
    return {name: vars(score) for name, score in scores.items()}


def predict_to(head: raddino_seg.LinearDecoder, folder: Path, out: Path, size: int) -> int:
    """Write the label maps of the split test as PNG; returns how many."""
    features = load_features(folder)
    rows = features.rows("test")
    out.mkdir(parents=True, exist_ok=True)
    for row, labels in zip(rows, head.predict(tokens_of(features, rows), (size, size)), strict=True):
        path = out / f"{features.samples['key'][row]}.png"
        part = path.with_suffix(".part.png")
        cv2.imwrite(str(part), labels)
        part.replace(path)
    return len(rows)
