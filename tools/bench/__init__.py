"""Speed as a ratio to a peer, measured in the same run; a bench is a function that returns one line."""

from collections.abc import Callable

from tools.bench._phantom import phantom
from tools.bench._probes import bootstrap, sweep
from tools.bench._prototypes import prototypes
from tools.bench._resize import resize

BENCHES: dict[str, Callable[[], str]] = {
    "resize": resize,
    "phantom": phantom,
    "sweep": sweep,
    "bootstrap": bootstrap,
    "prototypes": prototypes,
}

__all__ = ["BENCHES"]
