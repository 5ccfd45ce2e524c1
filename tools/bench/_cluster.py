"""Ingest on a Ray cluster against the processes of a local run."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

_IMAGES = 2000
_CORES = 2


def cluster() -> str:
    """2,000 images of 600 x 600 at a short side of 518, two processes against two cores of a local Ray cluster.

    The run on Ray lies between two local ones, so that a busy machine slows both alike.
    """
    import ray

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        _write(root / "source")
        ray.init(num_cpus=_CORES, include_dashboard=False, log_to_driver=False)
        try:
            before, ours, after = (_take(root, executor) for executor in ("local", "ray", "local"))
        finally:
            ray.shutdown()
        files = [{path.name: path.read_bytes() for path in (root / name).glob("[!.]*")} for name in ("ray", "local")]
    if files[0] != files[1]:
        raise RuntimeError("expected the same bytes of both")
    told = f"{_IMAGES:,} images on Ray in {ours:.1f} s, in local processes in {before:.1f} and {after:.1f} s"
    return f"{told}: {2 * ours / (before + after) - 1:+.0%}, and the same bytes"


def _write(source: Path) -> None:
    import cv2
    import numpy as np

    source.mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        small = rng.integers(0, 65535, (60, 60), dtype=np.uint16)
        cv2.imwrite(str(source / f"{number:04d}.png"), cv2.resize(small, (600, 600), interpolation=cv2.INTER_CUBIC))
    for number in range(20, _IMAGES):
        (source / f"{number:04d}.png").hardlink_to(source / f"{number % 20:04d}.png")


def _take(root: Path, executor: str) -> float:
    import cxr_io

    shutil.rmtree(root / executor, ignore_errors=True)
    start = time.perf_counter()
    cxr_io.ingest(root / "source", root / executor, workers=_CORES, executor=executor, key="a key of a benchmark")
    return time.perf_counter() - start
