"""Where items are converted: in processes of this machine, or on a Ray cluster; the shards are the same."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Protocol

from cxr_io._convert import Rejected, Settings, Taken
from cxr_io._errors import CxrError
from cxr_io._pool import Pool
from cxr_io._ray_pool import RayPool
from cxr_io.datasets import Record

EXECUTORS = ("local", "ray")


class Pending(Protocol):
    """An item that is being converted."""

    def result(self) -> Taken | Rejected:
        """What became of it, once it is there."""


class Executor(AbstractContextManager["Executor"], Protocol):
    """What converts items; at most `ahead` of them are given to it at a time."""

    ahead: int

    def submit(self, item: Record) -> Pending:
        """Begin with an item."""


def choose_executor(name: str, settings: Settings, workers: int | None, address: str | None) -> Executor:
    """`local`: `workers` processes, by default one a core, with 0 none; `ray`: tasks on the cluster at `address`."""
    if name not in EXECUTORS:
        raise CxrError("usage", f"expected an executor of {', '.join(EXECUTORS)}; got {name!r}")
    least = 1 if name == "ray" else 0
    if workers is not None and workers < least:
        raise CxrError("usage", f"expected {least} or more workers, got {workers}")
    if name == "ray":
        return RayPool(workers, settings, address)
    if address is not None:
        raise CxrError("usage", f"expected the executor ray with the address of a cluster, {address}; got local")
    return Pool((os.cpu_count() or 1) if workers is None else workers, settings)
