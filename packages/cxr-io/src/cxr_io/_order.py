"""The order of an epoch: which sample of which shard stands at each position, without writing the order down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Order:
    """A permutation of the samples of some shards for every epoch, a function of (seed, epoch) and the counts alone.

    With `shuffle` the shards are permuted, and then the samples within every `window` of consecutive shards, so that a
    reader that goes through the positions in order has no more than a window open. Without, the order is that of the
    shards. Memory: one number a shard, and one a sample of the current window.
    """

    def __init__(self, counts: NDArray[np.int64], *, shuffle: bool, seed: int, window: int) -> None:
        self._counts, self._shuffle, self._seed, self._window = counts, shuffle, seed, window
        self._total = int(counts.sum())
        self._shards: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None
        self._within: tuple[tuple[int, int], NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return self._total

    def place(self, epoch: int, position: int) -> tuple[int, int]:
        """Shard and sample at a position of an epoch."""
        shards, starts = self._permuted(epoch)
        if self._shuffle:
            number = int(np.searchsorted(starts, position, side="right") - 1) // self._window
            first = starts[number * self._window]
            end = starts[min((number + 1) * self._window, len(shards))]
            position = int(first + self._permutation(epoch, number, int(end - first))[position - first])
        at = int(np.searchsorted(starts, position, side="right")) - 1
        return int(shards[at]), int(position - starts[at])

    def _permuted(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The shards in this epoch's order, and at which position each starts, with the end as one more."""
        if self._shards is None or self._shards[0] != epoch:
            shards = np.arange(len(self._counts))
            if self._shuffle:
                np.random.default_rng((self._seed, epoch)).shuffle(shards)
            self._shards = (epoch, shards, np.concatenate([[0], np.cumsum(self._counts[shards])]))
        return self._shards[1:]

    def _permutation(self, epoch: int, window: int, size: int) -> NDArray[np.int64]:
        if self._within is None or self._within[0] != (epoch, window):
            drawn = np.random.default_rng((self._seed, epoch, window + 1)).permutation(size)
            self._within = ((epoch, window), drawn)
        return self._within[1]
