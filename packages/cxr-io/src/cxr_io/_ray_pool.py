"""Ray in place of worker processes: the same conversion as tasks of a cluster, whose nodes see the same files.

Ray places the tasks and runs those again that a dead worker or node has left, or whose results went with it.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import cv2

from cxr_io._convert import Rejected, Settings, Taken, convert, mark
from cxr_io._errors import CxrError
from cxr_io.datasets import Record

_TRIES = 4  # more than of a local pool: nodes of a cluster may be taken away one after another


class RayPool:
    """Tasks on the cluster at `address`, else on the one that runs here, else on one of this machine's cores.

    A file on which every try ends with its worker dying is rejected as `crashed_codec`.
    """

    def __init__(self, workers: int | None, settings: Settings, address: str | None) -> None:
        try:
            import ray
        except ImportError as error:
            raise CxrError("usage", "expected ray to run on a cluster; pip install 'cxr-io[ray]'") from error
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except ConnectionError as error:
                raise CxrError("usage", f"expected a Ray cluster at {address}: {error}") from error
        cluster: Any = ray
        self.ahead = 4 * (workers or max(1, int(cluster.cluster_resources().get("CPU", 1))))
        self._settings, self._known = settings, ray.put(settings)
        self._task: Any = ray.remote(num_cpus=1, max_retries=_TRIES - 1)(_convert)

    def submit(self, item: Record) -> _Pending:
        """The outcome of an item, when it is there."""
        return _Pending(self._task.remote(item, self._known), item, self._settings.key)

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        if self._ours:
            ray.shutdown()  # with what is under way


@dataclass(frozen=True)
class _Pending:
    """An item's outcome to be; its object goes when this does."""

    reference: Any
    item: Record
    key: bytes

    def result(self) -> Taken | Rejected:
        import ray
        from ray.exceptions import RayError, WorkerCrashedError

        try:
            found: Taken | Rejected = ray.get(self.reference)
        except WorkerCrashedError:
            reason = f"expected a file that decodes; {_TRIES} workers died of it, so its codec has a defect"
            return Rejected(mark(self.item, self.key), self.item.name, "crashed_codec", reason)
        except RayError as error:
            raise CxrError(
                "worker_killed", f"expected a cluster that lives ({type(error).__name__}); run again to go on"
            ) from error
        return found


def _convert(item: Record, settings: Settings) -> Taken | Rejected:
    cv2.setNumThreads(1)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its log quotes what a header says
    return convert(item, settings)
