"""Speed as a ratio to a peer, measured in the same run; a bench is a function that returns one line."""

from collections.abc import Callable

from tools.bench._phantom import phantom
from tools.bench._resize import resize
from tools.bench._stream import stream, stream_start

BENCHES: dict[str, Callable[[], str]] = {"resize": resize, "phantom": phantom, "stream": stream, "start": stream_start}

__all__ = ["BENCHES"]
