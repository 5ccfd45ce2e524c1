"""Speed as a ratio to a peer, measured in the same run; a bench is a function that returns one line."""

from collections.abc import Callable

from tools.bench._phantom import phantom
from tools.bench._probes import bootstrap, sweep
from tools.bench._read import read
from tools.bench._resize import resize
from tools.bench._stream import stream, stream_start

BENCHES: dict[str, Callable[[], str]] = {
    "resize": resize,
    "read": read,
    "stream": stream,
    "start": stream_start,
    "phantom": phantom,
    "sweep": sweep,
    "bootstrap": bootstrap,
}

__all__ = ["BENCHES"]
