"""Worker processes that may crash: each is a plain child on two pipes, so a dead one tells which file it died of.

`multiprocessing` is not used: its pools can't say who died of what, and its children import the user's script again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

import cv2

from cxr_io._convert import Rejected, Settings, Taken, convert, mark
from cxr_io._errors import CxrError
from cxr_io.datasets import Record

_READY = "ready"
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


class Pool:
    """`workers` processes that convert items; with 0 this process does, and a crashing codec takes the run with it.

    A thread keeps each process company. A file on which two processes die in a row is rejected as `crashed_codec`.
    """

    def __init__(self, workers: int, settings: Settings) -> None:
        self.ahead = max(1, 4 * workers)  # files in flight: enough that one slow file does not idle the others
        self._settings = settings
        self._threads = ThreadPoolExecutor(workers) if workers else None
        self._mine = threading.local()
        self._children: set[_Child] = set()
        self._closing = False

    def submit(self, item: Record) -> Future[Taken | Rejected]:
        """The outcome of an item, when it is there."""
        if self._threads:
            return self._threads.submit(self._ask, item)
        done: Future[Taken | Rejected] = Future()
        done.set_result(convert(item, self._settings))
        return done

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        for child in list(self._children):
            child.kill()  # so that no thread waits for an answer
        if self._threads:
            self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            child.end()

    def _ask(self, item: Record) -> Taken | Rejected:
        code = 0
        for _ in range(2):
            child = getattr(self._mine, "child", None) or self._start()
            try:
                return child.ask(item)
            except (EOFError, OSError, pickle.UnpicklingError):
                self._mine.child = None
                self._children.discard(child)
                code = child.end()
                if self._closing:
                    raise
        died = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            raise CxrError(
                "worker_killed",
                "expected workers to live, two in a row were killed from outside, as happens when memory runs out; "
                "run again with fewer workers to go on",
            )
        reason = f"expected a file that decodes; two processes died of it ({died}), so its codec has a defect"
        return Rejected(mark(item, self._settings.key), item.name, "crashed_codec", reason)

    def _start(self) -> _Child:
        child = self._mine.child = _Child(self._settings)
        self._children.add(child)
        if self._closing:  # the pool was closed while this one came up
            child.kill()
        return child


class _Child:
    """One process that converts items as they come."""

    def __init__(self, settings: Settings) -> None:
        # -P: the folder one stands in may be the archive, and no place to load modules from. In a group of its own,
        # Ctrl-C reaches the parent alone; when the parent dies, the pipe ends and so does the child.
        command = [sys.executable, "-P", "-c", "from cxr_io._pool import serve; serve()"]
        # Workers are as many as cores; were each to start as many threads, they would wait for each other's.
        environment = {**os.environ, **_ONE_THREAD}
        for _ in range(2):  # one that is killed from outside as it comes up is started again, as later ones are
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0, env=environment
            )
            try:
                if self._exchange(settings) == _READY:
                    return
            except (EOFError, OSError, pickle.UnpicklingError):
                pass
            if (code := self.end()) != -signal.SIGKILL:
                break
        raise CxrError("worker_failed", f"expected a worker process to start; it ended with code {code}")

    def ask(self, item: Record) -> Taken | Rejected:
        found: Taken | Rejected = self._exchange(item)
        return found

    def kill(self) -> None:
        """Stop the process, in the middle of whatever it does."""
        self._process.kill()

    def end(self) -> int:
        """Stop the process if it lives and close its pipes; its exit code, negative for a signal."""
        self.kill()
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was still to be written has no reader now
                if pipe:
                    pipe.close()
        return code

    def _exchange(self, value: object) -> Any:
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            raise EOFError
        pickle.dump(value, to, pickle.HIGHEST_PROTOCOL)
        to.flush()
        return pickle.load(back)


def serve() -> None:
    """The child's side: settings, then items until the pipe ends."""
    cv2.setNumThreads(1)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its log quotes what a header says
    received: BinaryIO = sys.stdin.buffer
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a codec prints must not get between the replies
    settings = pickle.load(received)
    answer: object = _READY
    while True:
        pickle.dump(answer, replies, pickle.HIGHEST_PROTOCOL)
        replies.flush()
        try:
            item = pickle.load(received)
        except EOFError:
            return
        answer = convert(item, settings)
