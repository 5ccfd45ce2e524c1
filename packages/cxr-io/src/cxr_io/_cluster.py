"""A Ray cluster as a place where functions run.

Ray places the tasks and runs those again that a dead worker or node has left, or whose results went with it. One that
does not die and does not end is run again here: functions give the same wherever and however often they run.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from cxr_io._errors import CxrError
from cxr_io._nodes import check_nodes

A = TypeVar("A")
B = TypeVar("B")
K = TypeVar("K")
TRIES = 4
"""More than of a local pool: nodes of a cluster may be taken away one after another."""
AHEAD = 3
"""Tasks a core or GPU: one that runs, and two that wait for it or are waited for."""
PACKAGES = ("cxr-io", "numpy", "opencv-python-headless", "pydicom")
"""What the pixels of a shard depend on."""
_KNOCK_S = 10.0
_STRAGGLES = (3, 10.0)  # times the mean of tasks, and at least so many seconds, in which one should end


class Cluster:
    """The cluster at `address`, else the one that runs here, else a new one of this machine's cores.

    A task takes a GPU where the cluster has some and `map` or `run` runs it, else a core. What was joined is left at
    the end, with what is under way. All nodes that there are must have the versions of `packages` that are here.

    Raises:
        CxrError: no ray, no cluster at the address, or a node with other versions.
    """

    def __init__(self, address: str | None = None, packages: tuple[str, ...] = PACKAGES) -> None:
        try:
            import ray
        except ImportError as error:
            raise CxrError("usage", "expected ray to run on a cluster; pip install 'cxr-io[ray]'") from error
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                _knock(address or "")
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except (OSError, ValueError, RuntimeError) as error:
                raise CxrError("usage", f"expected a Ray cluster at {address}: {error}") from error
        self._ray: Any = ray
        found = self._ray.cluster_resources()
        self.cores, self._gpus = max(1, int(found.get("CPU", 1))), int(found.get("GPU", 0))
        self._tasks: dict[tuple[Callable[..., Any], int], Any] = {}  # each is sent to the cluster once
        self._again: dict[Any, Callable[[], Any]] = {}  # of each call whose result is not asked for yet, another
        self._began, self._ended = time.monotonic(), 0
        try:
            check_nodes(ray, packages)
        except CxrError:
            self.close()
            raise

    def share(self, value: object) -> Any:
        """A value that many tasks take, sent to each node once."""
        return self._ray.put(value)

    def start(self, function: Callable[..., Any], *values: object, gpus: int = 0) -> Any:
        """Begin with a call; `result` has what becomes of it."""
        if (function, gpus) not in self._tasks:
            needs = {"num_cpus": 0 if gpus else 1, "num_gpus": gpus, "max_retries": TRIES - 1}
            self._tasks[function, gpus] = self._ray.remote(**needs)(function)
        again = functools.partial(self._tasks[function, gpus].remote, *values)
        reference = again()
        self._again[reference] = again
        return reference

    def result(self, reference: Any) -> Any:
        """What a call returned, or raised as a ValueError; None where all the workers that tried it died.

        Each can be asked for once.

        Raises:
            CxrError: the cluster is gone.
        """
        from ray.exceptions import RayError, RayTaskError, WorkerCrashedError

        try:
            found = self._ray.get(self._soonest(reference, self._again.pop(reference)))
            self._ended += 1
            return found
        except WorkerCrashedError:
            return None
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, ValueError) else error from None
        except RayError as error:
            raise CxrError(
                "worker_killed", f"expected a cluster that lives ({type(error).__name__}); run again to go on"
            ) from error

    def _soonest(self, reference: Any, again: Callable[[], Any]) -> Any:
        """The call, or another where that ends before it: begun once it takes long and nothing else is under way."""
        if not self._ended:
            return reference
        times, least = _STRAGGLES
        mean = (time.monotonic() - self._began) * (self._gpus or self.cores) / self._ended
        while not self._ray.wait([reference], timeout=max(times * mean, least))[0]:
            others = list(self._again)
            if not others or len(self._ray.wait(others, num_returns=len(others), timeout=0)[0]) == len(others):
                (first,), (last,) = self._ray.wait([reference, again()])
                self._ray.cancel(last, force=True)
                return first
        return reference

    def run(self, function: Callable[[A], B], value: A) -> B:
        """One call, waited for."""
        found: B = self._whole(self.start(function, value, gpus=min(self._gpus, 1)))
        return found

    def map(self, function: Callable[[K, A], B], known: K, items: Iterable[A]) -> Iterator[B]:
        """`function(known, item)` for each item, in their order; a few for each core or GPU are under way at a time."""
        shared, ahead = self.share(known), AHEAD * (self._gpus or self.cores)
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(self.start(function, shared, item, gpus=min(self._gpus, 1)))
            if len(waiting) > ahead:
                yield self._whole(waiting.popleft())
        while waiting:
            yield self._whole(waiting.popleft())

    def close(self) -> None:
        """Leave the cluster, if this joined it."""
        if self._ours:
            self._ray.shutdown()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _whole(self, reference: Any) -> Any:
        found = self.result(reference)
        if found is None:
            raise CxrError("worker_killed", f"expected workers to live, {TRIES} died of one task; run again to go on")
        return found


def _knock(address: str) -> None:
    """Fail soon where nobody answers at a host and port; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()
