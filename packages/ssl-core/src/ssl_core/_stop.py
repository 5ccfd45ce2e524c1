"""Signals by which schedulers announce that a machine is taken away, as a question that a loop can ask."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_ANNOUNCED_BY = (signal.SIGTERM, signal.SIGUSR1)  # USR1 is what SLURM's users ask for, some time before the end


@contextlib.contextmanager
def stop_noted() -> Iterator[Callable[[], bool]]:
    """Within, SIGTERM and SIGUSR1 end nothing; what is yielded says whether one came. In other threads: never."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        came.set()

    before = {number: signal.signal(number, note) for number in _ANNOUNCED_BY}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
