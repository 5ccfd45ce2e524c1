"""The first layer of every decoder: standardised tokens through one matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


class Projection(nn.Module):
    """Maps (B, `out`, h, w) of some layers of tokens (B, L, D, h, w); the standardisation is folded into the matrix."""

    mean: Tensor
    scale: Tensor

    def __init__(self, layers: Sequence[int], embed_dim: int, out: int, std: float) -> None:
        super().__init__()
        self.layers = list(layers)
        width = len(self.layers) * embed_dim
        self.weight = nn.Parameter(torch.randn(out, width) * std)
        self.bias = nn.Parameter(torch.zeros(out))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def standardise(self, mean: Tensor, scale: Tensor) -> None:
        """Take over the mean and 1 / deviation (L, D) of the training tokens."""
        self.mean.copy_(mean[self.layers].flatten())
        self.scale.copy_(scale[self.layers].flatten())

    def forward(self, tokens: Tensor) -> Tensor:
        """Project (B, L, D, h, w)."""
        flat = tokens[:, self.layers].flatten(1, 2) if tokens.shape[1] > 1 else tokens[:, 0]
        weight = self.weight * self.scale
        return conv2d(flat.float(), weight[:, :, None, None], self.bias - weight @ self.mean)
