"""Samples out of shards by number: each shard's table of members is read once while the shard is open."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from cxr_io._errors import CxrError
from cxr_io._folder import Folder
from cxr_io._shards import scan


class ShardReader:
    """The files of the samples of some shards, `names` with so many samples as `counts` says each.

    At most `keep` shards are open. A shard that is damaged is not opened again while it is remembered as such. Fit to
    be pickled and forked: positions belong to each read.
    """

    def __init__(self, folder: Folder, names: Sequence[str], counts: Sequence[int], keep: int) -> None:
        self._folder, self._names, self._counts, self._keep = folder, names, counts, keep
        self._open: OrderedDict[int, _Shard | CxrError] = OrderedDict()

    def read(self, shard: int, sample: int) -> tuple[str, dict[str, bytes]]:
        """Key and files by extension; `CxrError` (`damaged`) where the shard is not what the index says."""
        found = self._open.get(shard)
        if found is None:
            while len(self._open) >= self._keep:
                self._open.popitem(last=False)
            found = self._open[shard] = self._opened(shard)
        self._open.move_to_end(shard)
        if isinstance(found, CxrError):
            raise found
        return found.read(sample)

    def _opened(self, shard: int) -> _Shard | CxrError:
        name, expected = self._names[shard], int(self._counts[shard])
        try:
            opened = _Shard(self._folder.open(name))
        except CxrError:  # not reached, which says nothing of the shard
            raise
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            return CxrError("damaged", f"expected a shard at {self._folder}/{name}: {why}")
        if len(opened) != expected:
            return CxrError("damaged", f"expected {expected} samples in {name}, got {len(opened)}; verify the shards")
        return opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}


class _Shard:
    """An open shard and where its samples lie; closed when nothing refers to it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._samples = list(scan(descriptor).items())

    def __len__(self) -> int:
        return len(self._samples)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def read(self, sample: int) -> tuple[str, dict[str, bytes]]:
        key, places = self._samples[sample]
        files = {name: os.pread(self._descriptor, size, offset) for name, (offset, size) in places.items()}
        if any(len(files[name]) != size for name, (_, size) in places.items()):
            raise CxrError("damaged", f"expected sample {key} whole, got a shard that ends before; verify the shards")
        return key, files
