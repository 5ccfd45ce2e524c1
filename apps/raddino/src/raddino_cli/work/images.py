"""Shards as a training set: decoded once into memory, or read as they are needed where they don't fit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cxr_io import ShardStream
from numpy.typing import NDArray
from torch import Tensor

Place = Path | str
"""Of shards: a folder, or a URL that fsspec opens."""
_SHARE = 4  # a process's images may fill a quarter of its part of the memory


def square(image: NDArray[Any]) -> NDArray[Any]:
    """The central square of (H, W)."""
    side = min(image.shape)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


class ImagesInMemory(Sequence[Tensor]):
    """The central squares of one split, decoded once; items are uint16 (1, S, S)."""

    def __init__(self, shards: Place, split: str, share: float = 1.0) -> None:
        kept = (sample for sample in ShardStream(shards, split=split) if is_chosen(sample.meta["patient"], share))
        self._images = [np.ascontiguousarray(square(sample.image)) for sample in kept]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        return torch.from_numpy(self._images[index])[None]


class ImagesFromShards(Sequence[Tensor]):
    """The same read when asked for, in an order of its own for each epoch, so that few shards are open at a time."""

    def __init__(self, shards: Place, split: str, seed: int) -> None:
        self._stream = ShardStream(shards, split=split, shuffle=True, seed=seed, threads=1)
        self._epoch = 0

    def __len__(self) -> int:
        return self._stream.samples

    def set_epoch(self, epoch: int) -> None:
        """Take the order of an epoch."""
        if epoch != self._epoch:
            self._stream.set_epoch(epoch)
            self._epoch = epoch

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        return torch.from_numpy(np.ascontiguousarray(square(self._stream[index].image)))[None]


def is_chosen(patient: str, share: float) -> bool:
    """Whether a patient is among a share of all: by hash, so that a larger share holds every smaller one."""
    return int(sha256(patient.encode()).hexdigest()[:8], 16) < share * 2**32


def training_images(
    shards: Place, seed: int, *, stream: bool | None, processes: int, share: float = 1.0
) -> ImagesInMemory | ImagesFromShards:
    """The split train: as `stream` says, or by what it would take of the memory that `processes` share.

    Less than all of its patients are always read into memory.
    """
    if share < 1:
        return ImagesInMemory(shards, "train", share)
    from_shards = ImagesFromShards(shards, "train", seed)
    if stream is None:
        needed = from_shards[0].nbytes * len(from_shards)
        stream = needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (_SHARE * processes)
    return from_shards if stream else ImagesInMemory(shards, "train")
