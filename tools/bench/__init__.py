"""Speed as a ratio to a peer, measured in the same run; a bench is a function that returns one line."""

from collections.abc import Callable

from tools.bench._phantom import phantom
from tools.bench._resize import resize
from tools.bench._stream import stream

BENCHES: dict[str, Callable[[], str]] = {"resize": resize, "phantom": phantom, "stream": stream}

__all__ = ["BENCHES"]
