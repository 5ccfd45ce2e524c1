"""A decoder of patch tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from raddino_seg._errors import SegError
from raddino_seg._heads import HEADS
from raddino_seg._model import Model
from raddino_seg._projection import Projection
from raddino_seg._tokens import Tokens, as_tokens, layered, standardisation

CHANNELS = 64
"""Width of the convolutions; 256, as published, costs sixteen times as much."""


class Decoder(Model):
    """Logits of patch tokens (B, D, h, w), or (B, L, D, h, w) of several layers, by one of `HEADS`."""

    kind = "decoder"

    def __init__(
        self,
        head: str,
        classes: Sequence[str],
        *,
        embed_dim: int,
        grid: tuple[int, int],
        layers: int = 1,
        channels: int = CHANNELS,
        overlapping: bool = False,
    ) -> None:
        super().__init__(classes, overlapping)
        if head not in HEADS:
            raise SegError(f"expected a decoder of {', '.join(HEADS)}; got {head!r}")
        self.name, self.embed_dim, self.grid, self.layers, self.channels = head, embed_dim, grid, layers, channels
        self.head = HEADS[head](layers, embed_dim, self.outputs, channels)
        self.learning_rate = 0.01 if head == "linear" else 0.001

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits at the grid (linear) or at four times its size."""
        return cast(Tensor, self.head(layered(tokens)))

    def standardise(self, tokens: Tensor) -> None:
        """Take over the mean and the scale of training tokens (N, L, D, h, w)."""
        mean, scale = standardisation(tokens)
        for module in self.head.modules():
            if isinstance(module, Projection):
                module.standardise(mean, scale)

    def check(self, inputs: Tokens) -> Tensor:
        """Tokens (N, L, D, h, w) of the layers, width and grid it was made for."""
        tokens = as_tokens(inputs)
        expected, got = (self.layers, self.embed_dim, *self.grid), tuple(tokens.shape[1:])
        if got != expected:
            words = "{} layers of {} channels on a grid of {} x {}"
            raise SegError(
                f"expected tokens of {words.format(*expected)}, got {words.format(*got)}; give the encoder and the "
                "input size that the decoder was trained with"
            )
        return tokens

    def describe(self) -> dict[str, Any]:
        """How it was made."""
        return {
            "head": self.name,
            "embed_dim": self.embed_dim,
            "grid": self.grid,
            "layers": self.layers,
            "channels": self.channels,
        }
