"""Shards back as samples, in an order that depends on seed and epoch alone and can be taken up again anywhere."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from cxr_io._dealer import Dealer, Remainder
from cxr_io._errors import CxrError
from cxr_io._folder import Folder
from cxr_io._order import Order
from cxr_io._reader import ShardReader
from cxr_io._shards import read_index


class ShardStream(Dealer):
    """The samples of one split of some shards: iterate it, or give it to a torch DataLoader.

    `shards` is a folder or a URL that fsspec opens. With `shuffle`, shards are permuted and then the samples within
    each `window` of them, anew every epoch. `rank` of `world_size` gets every `world_size`-th sample, and all ranks get
    as many: the last step is filled up with the epoch's first samples, or dropped (`remainder`). Samples are dealt
    within shards, so there may be fewer shards than ranks and workers. A damaged sample is left out, counted in
    `skipped` and logged, or with `strict` raises its `CxrError`; among several ranks the next sample stands in for it.
    With several `threads` they decode ahead of the loop, which pays for JPEG XL and PNG of 8 bits.

    `state_dict()` between two samples holds the place; a stream of the same order that loads it, on any number of
    ranks, gives exactly the samples that were left. After the last sample the epoch counts up and the next iteration
    starts anew. In a DataLoader the stream is a sequence whose workers read copies: pass `state_dict` the number of
    samples received, and call `set_epoch` before each epoch.
    """

    def __init__(
        self,
        shards: str | Path,
        *,
        split: str,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        window: int = 16,
        rank: int = 0,
        world_size: int = 1,
        remainder: Remainder = "wrap",
        strict: bool = False,
        threads: int = 1,
    ) -> None:
        index = read_index(shards)
        entries = [entry for entry in index["shards"] if entry["split"] == split]
        if not entries:
            found = ", ".join(sorted({entry["split"] for entry in index["shards"]}))
            raise CxrError("no_split", f"expected a split of {found} in {shards}, got {split!r}")
        if window < 1 or seed < 0:
            raise CxrError("usage", f"expected a window of 1 shard or more and a seed from 0, got {window}, {seed}")
        counts = np.array([entry["samples"] for entry in entries], dtype=np.int64)
        super().__init__(int(counts.sum()), epoch, rank, world_size, remainder, strict, threads)
        self._places = Order(counts, shuffle=shuffle, seed=seed, window=window)
        self._reader = ShardReader(Folder(shards), [entry["name"] for entry in entries], counts.tolist(), window)
        # What is fed to the hash is all that the order depends on, beside the epoch.
        content = sha256()
        for entry in entries:
            content.update(repr((entry["name"], entry["samples"], entry["sha256"])).encode())
        self._settings = {
            "seed": seed,
            "shuffle": shuffle,
            "window": window,
            "shards": content.hexdigest()[:16],
        }

    def _fetch(self, epoch: int, position: int) -> tuple[str, dict[str, bytes]]:
        return self._reader.read(*self._places.place(epoch, position))

    def _order(self) -> dict[str, Any]:
        return self._settings
