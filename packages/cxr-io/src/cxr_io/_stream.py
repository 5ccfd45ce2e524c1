"""Shards back as samples, in an order that depends on seed and epoch alone and can be taken up again anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cxr_io._errors import CxrError
from cxr_io._shards import Sample, decode, read_index, read_parts, read_shard


class ShardStream:
    """Iterate the samples of one split, shard by shard; with `shuffle`, shards and the samples in each are permuted.

    `state_dict()` between two samples holds the place; a stream of the same arguments that loads it gives exactly the
    samples that were left. After the last sample the epoch counts up and the next iteration starts anew.
    """

    def __init__(self, shards: str | Path, *, split: str, shuffle: bool = False, seed: int = 0, epoch: int = 0) -> None:
        index = read_index(shards)
        self._entries = [entry for entry in index["shards"] if entry["split"] == split]
        if not self._entries:
            found = ", ".join(sorted({entry["split"] for entry in index["shards"]}))
            raise CxrError("no_split", f"expected a split of {found} in {shards}, got {split!r}")
        self._folder = Path(shards)
        self._shuffle, self._seed, self._epoch, self._position = shuffle, seed, epoch, 0

    def __len__(self) -> int:
        return sum(entry["samples"] for entry in self._entries)

    def __iter__(self) -> Iterator[Sample]:
        start = self._position
        rng = np.random.default_rng((self._seed, self._epoch))
        order = rng.permutation(len(self._entries)) if self._shuffle else np.arange(len(self._entries))
        passed = 0
        for number in order:
            entry = self._entries[number]
            count = entry["samples"]
            within = rng.permutation(count) if self._shuffle else np.arange(count)
            if passed + count > start:
                path = self._folder / entry["name"]
                places = list(read_shard(path).items())
                if len(places) != count:
                    raise CxrError(
                        "damaged", f"expected {count} samples in {path.name}, got {len(places)}; verify the shards"
                    )
                with path.open("rb") as file:
                    for i in within[max(0, start - passed) :]:
                        key, parts = places[i]
                        self._position += 1
                        yield decode(key, read_parts(file, parts))
            passed += count
        self._epoch, self._position = self._epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Epoch and samples already given, with what the order depends on."""
        return {"epoch": self._epoch, "position": self._position, "seed": self._seed, "shuffle": int(self._shuffle)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a place; refuses one of another seed or order."""
        if (state["seed"], bool(state["shuffle"])) != (self._seed, self._shuffle):
            raise CxrError("usage", "expected the state of a stream with this seed and shuffle; it is of another")
        self._epoch, self._position = state["epoch"], state["position"]
