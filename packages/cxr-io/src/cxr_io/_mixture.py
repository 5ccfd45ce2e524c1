"""Several streams as one, in proportions that are chosen, so that a large archive doesn't drown a small one."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_io._dealer import Dealer, Remainder
from cxr_io._errors import CxrError
from cxr_io._stream import ShardStream

_BLOCK = 4096


class Mixture(Dealer):
    """Samples of several streams, drawn in proportion to `weights`, or to size ** (1 / `temperature`).

    A temperature of 1 (the default) draws as often as there are samples; the higher, the more alike the sources. An
    epoch has `samples` draws, by default as many as the sources together. The draws are dealt in blocks of 4,096, each
    with the same numbers of every source (at least one), in an order of its own: so the proportions are exact to one in
    4,096 throughout. A source is gone through in whole passes, each in the order of the stream's own seed and the pass:
    of one source, no sample is drawn a second time before every other was drawn.

    Ranks, workers, resume and damage are as in `ShardStream`; the streams' own ranks must be left alone.
    """

    def __init__(
        self,
        streams: Sequence[ShardStream],
        *,
        weights: Sequence[float] | None = None,
        temperature: float = 1.0,
        samples: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        remainder: Remainder = "wrap",
        strict: bool = False,
        threads: int = 1,
    ) -> None:
        if not 1 <= len(streams) <= _BLOCK or any(stream.shared for stream in streams):
            raise CxrError("usage", "expected streams of one rank to mix; give rank and world_size to the mixture")
        self._streams = list(streams)
        self._sizes = [stream.samples for stream in streams]
        super().__init__(samples or sum(self._sizes), epoch, rank, world_size, remainder, strict, threads)
        self._counts = _counts(_tempered(self._sizes, temperature) if weights is None else weights, len(streams))
        self._seed = seed
        self._drawn: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None

    def _fetch(self, epoch: int, position: int) -> tuple[str, dict[str, bytes]]:
        source, number = self._draw(epoch * self.samples + position)
        return self._streams[source]._fetch(*divmod(number, self._sizes[source]))

    def _draw(self, number: int) -> tuple[int, int]:
        """The source of a draw, counted over all epochs, and how many draws that source had before."""
        block, at = divmod(number, _BLOCK)
        if self._drawn is None or self._drawn[0] != block:
            sources = np.repeat(np.arange(len(self._counts)), self._counts)
            np.random.default_rng((self._seed, block)).shuffle(sources)
            before = np.empty(_BLOCK, np.int64)
            for source in range(len(self._counts)):
                where = sources == source
                before[where] = np.arange(self._counts[source])
            self._drawn = (block, sources, before)
        _, sources, before = self._drawn
        source = int(sources[at])
        return source, int(block * self._counts[source] + before[at])

    def _order(self) -> dict[str, Any]:
        told = repr([stream._order() for stream in self._streams])
        return {
            "seed": self._seed,
            "samples": self.samples,
            "draws": self._counts.tolist(),
            "streams": sha256(told.encode()).hexdigest()[:16],
        }


def _tempered(sizes: Sequence[int], temperature: float) -> list[float]:
    if not temperature > 0:
        raise CxrError("usage", f"expected a temperature above 0, got {temperature}")
    largest = max(sizes)  # powers of ratios, which can't overflow
    return [float((size / largest) ** (1 / temperature)) for size in sizes]


def _counts(weights: Sequence[float], streams: int) -> NDArray[np.int64]:
    """How many of a block's draws each source gets: largest remainders, and at least one."""
    share = np.asarray(weights, dtype=np.float64)
    if share.shape != (streams,) or not np.isfinite(share).all() or (share <= 0).any():
        raise CxrError("usage", f"expected {streams} weights above 0, got {list(weights)}")
    exact = share / share.sum() * (_BLOCK - streams)
    counts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    largest = np.argsort(counts - exact, kind="stable")[: _BLOCK - streams - counts.sum()]
    counts[largest] += 1
    return counts + 1
