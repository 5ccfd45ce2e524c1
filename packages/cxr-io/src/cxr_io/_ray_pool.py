"""Ray in place of worker processes: the same conversion as tasks of a cluster, whose nodes see the same files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2

from cxr_io._cluster import AHEAD, TRIES, Cluster
from cxr_io._convert import Rejected, Settings, Taken, convert, mark
from cxr_io.datasets import Record

_BATCH = 8  # files a task, since Ray's own work for one is a good part of a small file's
Start = Callable[[list[Record]], Any]


class RayPool:
    """Tasks on the cluster at `address`, else on the one that runs here, else on one of this machine's cores.

    A file on which every try ends with its worker dying is rejected as `crashed_codec`.
    """

    def __init__(self, workers: int | None, settings: Settings, address: str | None) -> None:
        self._cluster = Cluster(address)
        self.ahead = _BATCH * AHEAD * (workers or self._cluster.cores)
        self._key, known = settings.key, self._cluster.share(settings)
        self._start: Start = lambda items: self._cluster.start(_convert, items, known)
        self._batch = _Batch(self._start, self._cluster.result, self._key)

    def submit(self, item: Record) -> _Pending:
        """The outcome of an item, when it is there."""
        if self._batch.sent:
            self._batch = _Batch(self._start, self._cluster.result, self._key)
        return self._batch.add(item)

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.close()


@dataclass(frozen=True)
class _Pending:
    """An item of a batch."""

    batch: _Batch
    number: int

    def result(self) -> Taken | Rejected:
        return self.batch.outcomes()[self.number]


class _Batch:
    """Some items, converted by one task once they are enough or are asked for; the results go when the batch does."""

    def __init__(self, start: Start, get: Callable[[Any], Any], key: bytes) -> None:
        self._start, self._get, self._key = start, get, key
        self._items: list[Record] = []
        self._reference: Any = None
        self._outcomes: list[Taken | Rejected] | None = None

    @property
    def sent(self) -> bool:
        """Whether the task has begun, so that no more items can be added."""
        return self._reference is not None

    def add(self, item: Record) -> _Pending:
        self._items.append(item)
        if len(self._items) == _BATCH:
            self._reference = self._start(self._items)
        return _Pending(self, len(self._items) - 1)

    def outcomes(self) -> list[Taken | Rejected]:
        """What became of each item; where the workers died of the batch, each is tried alone."""
        if self._outcomes is None:
            if not self.sent:
                self._reference = self._start(self._items)
            found = self._get(self._reference)
            self._outcomes = [self._alone(item) for item in self._items] if found is None else found
        return self._outcomes

    def _alone(self, item: Record) -> Taken | Rejected:
        if found := self._get(self._start([item])):
            outcome: Taken | Rejected = found[0]
            return outcome
        reason = f"expected a file that decodes; {TRIES} workers died of it, so its codec has a defect"
        return Rejected(mark(item, self._key), item.name, "crashed_codec", reason)


def _convert(items: list[Record], settings: Settings) -> list[Taken | Rejected]:
    cv2.setNumThreads(1)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its log quotes what a header says
    return [convert(item, settings) for item in items]
