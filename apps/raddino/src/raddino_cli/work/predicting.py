"""Masks of a model as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import raddino_seg
from numpy.typing import NDArray

from raddino_cli.work.features import load_features
from raddino_cli.work.segmenting import tokens_of


def predict_to(model: raddino_seg.Model, folder: Path, out: Path, size: int) -> int:
    """Write the label maps of the split test as PNG; returns how many."""
    features = load_features(folder)
    rows = features.rows("test")
    out.mkdir(parents=True, exist_ok=True)
    for row, labels in zip(rows, model.predict(tokens_of(features, rows), (size, size)), strict=True):
        write_png(out / f"{features.samples['key'][row]}.png", labels)
    return len(rows)


def write_png(path: Path, mask: NDArray[Any]) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part.png")
    cv2.imwrite(str(part), mask)
    part.replace(path)
