"""Ingest and embedding on a Ray cluster of this machine's cores against a local run on as many."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bench._embed import write_model

_IMAGES = 2000
_CORES = 2


def cluster() -> str:
    """2,000 images of 600 x 600 at a short side of 518, two processes against two cores of a local Ray cluster.

    The run on Ray lies between two local ones, so that a busy machine slows both alike.
    """
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        _write(root / "source")
        with _ray():
            before, ours, after = (_take(root, executor) for executor in ("local", "ray", "local"))
        files = [{path.name: path.read_bytes() for path in (root / name).glob("[!.]*")} for name in ("ray", "local")]
    if files[0] != files[1]:
        raise RuntimeError("expected the same bytes of both")
    return f"{_told(before, ours, after)}, and the same bytes"


def cluster_embed() -> str:
    """A random ViT-Ti/14 on 2,000 images of 224 x 224: a process of two threads against two cores of a Ray cluster.

    Loading torch and the weights on each core of the cluster is part of its time.
    """
    import cxr_io
    import numpy as np
    import torch

    torch.set_num_threads(_CORES)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        _write(root / "source")
        cxr_io.ingest(root / "source", root / "shards", short_side=224, workers=_CORES, key="a key of a benchmark")
        write_model(root / "model", 224, hidden_size=192, num_attention_heads=3)
        with _ray():
            before, ours, after = (_encode(root, executor) for executor in ("local", "ray", "local"))
        ray, local = (np.load(root / name / "cls.npy") for name in ("ray", "local"))
    apart = np.abs(ray - local).max()
    if apart > 1e-4:
        raise RuntimeError(f"expected the same features of both within 1e-4, got a difference of {apart:.2g}")
    return f"{_told(before, ours, after)}, and features within {apart:.0e}"


def _told(before: float, ours: float, after: float) -> str:
    told = f"{_IMAGES:,} images on Ray in {ours:.1f} s, locally in {before:.1f} and {after:.1f} s"
    return f"{told}: {2 * ours / (before + after) - 1:+.0%}"


@contextmanager
def _ray() -> Iterator[None]:
    import ray

    ray.init(num_cpus=_CORES, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


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


def _encode(root: Path, executor: str) -> float:
    from raddino_cli.work.embedding import embed

    shutil.rmtree(root / executor, ignore_errors=True)
    start = time.perf_counter()
    embed(root / "shards", str(root / "model"), root / executor, executor=executor)
    return time.perf_counter() - start
