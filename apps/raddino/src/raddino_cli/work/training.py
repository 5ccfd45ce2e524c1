"""Shards into a training set in memory, and the trainer on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cxr_io import ShardStream
from numpy.typing import NDArray
from torch import Tensor

from raddino_cli.console import Progress


def square(image: NDArray[Any]) -> NDArray[Any]:
    """The central square of (H, W)."""
    side = min(image.shape)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


class ImagesInMemory(Sequence[Tensor]):
    """The central squares of one split, decoded once and kept as uint16; items are float32 (1, S, S) in [0, 1]."""

    def __init__(self, shards: Path, split: str) -> None:
        self._images = [square(sample.image) for sample in ShardStream(shards, split=split)]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        return torch.from_numpy(self._images[index].astype(np.float32) / np.float32(65535))[None]


def pretrain(shards: Path, out: Path, recipe: str, overrides: list[str], progress: Progress | None = None) -> None:
    """Train on the split train of some shards."""
    import ssl_core

    config = ssl_core.load_config(recipe, overrides)
    ssl_core.Trainer(config, ImagesInMemory(shards, "train"), out, progress=progress).fit()
