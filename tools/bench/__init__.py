"""Speed as a ratio to a peer, measured in the same run; a bench is a function that returns one line."""

from collections.abc import Callable

from tools.bench._codecs import codecs
from tools.bench._ingest import ingest
from tools.bench._memory import memory, million
from tools.bench._phantom import phantom
from tools.bench._resize import resize

BENCHES: dict[str, Callable[[], str]] = {
    "resize": resize,
    "phantom": phantom,
    "codecs": codecs,
    "ingest": ingest,
    "memory": memory,
    "million": million,
}

__all__ = ["BENCHES"]
