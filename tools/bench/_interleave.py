"""How two things are timed against each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def interleave(ours: Callable[[], object], peer: Callable[[], object], repeats: int = 7) -> tuple[float, float]:
    """Median seconds of both, run in turn after one warm-up each, so that a busy machine slows both alike."""
    ours()
    peer()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for work, spent in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])
