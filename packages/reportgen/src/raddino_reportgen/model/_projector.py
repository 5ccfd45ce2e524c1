"""From an encoder's tokens to a language model's embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Mlp(nn.Sequential):
    """`layers` linear layers with GELU between them: (B, K, D) to (B, K, width)."""

    def __init__(self, dim: int, width: int, layers: int) -> None:
        super().__init__()
        self.append(nn.Linear(dim, width))
        for _ in range(layers - 1):
            self.append(nn.GELU())
            self.append(nn.Linear(width, width))


class Resampler(nn.Module):
    """Learned queries that attend to the tokens and their places, then an MLP: (B, K, D) to (B, queries, width)."""

    def __init__(self, tokens: int, dim: int, width: int, layers: int, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, dim) / dim**0.5)
        self.places = nn.Parameter(torch.randn(tokens, dim) / 2)  # against tokens of variance 1
        self.norm = nn.LayerNorm(dim)
        heads = max(h for h in (8, 4, 2, 1) if dim % h == 0)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = Mlp(dim, width, layers)

    def forward(self, tokens: Tensor) -> Tensor:
        known = self.norm(tokens + self.places)
        queries = self.queries.expand(len(tokens), -1, -1)
        found, _ = self.attention(queries, known, known, need_weights=False)
        return self.mlp(found + queries)  # type: ignore[no-any-return]
