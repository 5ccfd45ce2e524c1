"""One finding's model, with all that it needs to be used on other images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from raddino_probes._errors import ProbeError
from raddino_probes._resample import Array

_BLOCK = 64  # images at a time: tokens may be memory-mapped


@dataclass(frozen=True, eq=False)
class LinearHead:
    """One finding's head with the standardisation that it was trained behind."""

    features: str
    """Which choice of features it reads."""
    weight: Array
    """(D,) on standardised features."""
    bias: float
    mean: Array
    """(D,) of the training rows."""
    deviation: Array
    """(D,) of the training rows."""

    def log_odds(self, features: Array) -> Array:
        """(N,) of features (N, D)."""
        odds: Array = ((features - self.mean) / self.deviation) @ self.weight + self.bias
        return odds


@dataclass(frozen=True, eq=False)
class AttentiveHead:
    """One finding's attention over patch tokens, with the standardisation that it was trained behind.

    The cross-attention of a learnt query with the tokens, in H heads, and a linear layer on what it gathers. Key and
    value projections are folded into `query` and `weight`, whose rank is therefore not limited.
    """

    query: Array
    """(H, D) on standardised tokens."""
    weight: Array
    """(H, D) on standardised tokens."""
    bias: float
    mean: Array
    """(D,) of the training tokens."""
    deviation: Array
    """(D,) of the training tokens."""

    def log_odds(self, tokens: NDArray[Any]) -> Array:
        """(N,) of patch tokens (N, D, h, w).

        Raises:
            ProbeError: tokens of another shape.
        """
        return np.concatenate([(a * v).sum((1, 2)) + self.bias for a, v in self._read(tokens)])

    def attention(self, tokens: NDArray[Any]) -> Array:
        """How much of each patch is read (N, h, w), the mean over heads; a map adds up to 1.

        Raises:
            ProbeError: tokens of another shape.
        """
        maps = np.concatenate([a.mean(1) for a, _ in self._read(tokens)])
        return maps.reshape(len(tokens), *tokens.shape[2:])

    def _read(self, tokens: NDArray[Any]) -> list[tuple[Array, Array]]:
        """Blocks of attention and of values, both (n, H, T)."""
        length = len(self.mean)
        if tokens.ndim != 4 or tokens.shape[1] != length:
            raise ProbeError(f"tokens: expected (N, {length}, h, w) for this head, got {tokens.shape}")
        found = []
        for start in range(0, len(tokens), _BLOCK):
            block = np.asarray(tokens[start : start + _BLOCK], np.float64)
            x = (block.reshape(*block.shape[:2], -1) - self.mean[:, None]) / self.deviation[:, None]
            found.append((softmax(self.query @ x / np.sqrt(length), axis=-1), self.weight @ x))
        return found


Head = LinearHead | AttentiveHead
