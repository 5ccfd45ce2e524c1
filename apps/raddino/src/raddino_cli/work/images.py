"""Shards as a training set: decoded once into memory, or read as they are needed where they don't fit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from cxr_io import ShardStream
from numpy.typing import NDArray
from torch import Tensor

from raddino_cli.work.textures import texture

_T = TypeVar("_T")
Place = Path | str
"""Of shards: a folder, or a URL that fsspec opens."""
_SHARE = 4  # a process's images may fill a quarter of its part of the memory


@dataclass(frozen=True)
class Chosen:
    """Which images of the split train a run sees, and how many of another domain take their places."""

    share: float = 1.0
    """Of the patients."""
    manufacturer: str = ""
    """Of the device; any, if empty."""
    foreign: float = 0.0
    """Share of patients in whose place there are as many textures as they have images."""
    balance: bool = False
    """Whether both domains are seen equally often, whatever their number."""

    def has(self, patient: str, manufacturer: str | None) -> bool:
        """Whether an image is of the run, or a texture in its place is."""
        return is_chosen(patient, self.share) and self.manufacturer in ("", manufacturer)

    def keeps(self, patient: str, manufacturer: str | None) -> bool:
        """Whether an image is seen."""
        return self.has(patient, manufacturer) and is_chosen(patient, self.share * (1 - self.foreign))


EVERYTHING = Chosen()


def square(image: NDArray[Any]) -> NDArray[Any]:
    """The central square of (H, W)."""
    side = min(image.shape)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


class ImagesInMemory(Sequence[Tensor]):
    """The central squares of one split, decoded once, and textures; items are uint16 (1, S, S)."""

    def __init__(self, shards: Place, split: str, chosen: Chosen = EVERYTHING) -> None:
        own, side, replaced = [], 0, 0
        for sample in ShardStream(shards, split=split):
            who = sample.meta["patient"], sample.meta["metadata"]["manufacturer"]
            side = side or min(sample.image.shape)
            if chosen.keeps(*who):
                own.append(np.ascontiguousarray(square(sample.image)))
            elif chosen.has(*who):
                replaced += 1
        foreign = [texture(i, side) for i in range(replaced)]
        most = max(len(own), len(foreign)) if chosen.balance else 0
        self._images = [*_at_least(own, most), *_at_least(foreign, most)]

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


def _at_least(images: list[_T], count: int) -> list[_T]:
    """The images again and again, until there are so many of them."""
    return list(islice(cycle(images), count)) if images and len(images) < count else images


def is_chosen(patient: str, share: float) -> bool:
    """Whether a patient is among a share of all: by hash, so that a larger share holds every smaller one."""
    return int(sha256(patient.encode()).hexdigest()[:8], 16) < share * 2**32


def training_images(
    shards: Place, seed: int, *, stream: bool | None, processes: int, chosen: Chosen = EVERYTHING
) -> ImagesInMemory | ImagesFromShards:
    """The split train: as `stream` says, or by what it would take of the memory that `processes` share.

    Other than all of its images are always read into memory.
    """
    if chosen != EVERYTHING:
        return ImagesInMemory(shards, "train", chosen)
    from_shards = ImagesFromShards(shards, "train", seed)
    if stream is None:
        needed = from_shards[0].nbytes * len(from_shards)
        stream = needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (_SHARE * processes)
    return from_shards if stream else ImagesInMemory(shards, "train")
