"""The decoders by name: tokens (B, L, D, h, w) to logits (B, K, ., .) at the grid or at four times its size."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from raddino_seg._levels import Levels, block, norm, upsample_like
from raddino_seg._projection import Projection


class Pyramid(nn.Module):
    """The simple feature pyramid of ViTDet, its levels added up (the semantic branch of Kirillov et al. 2019)."""

    def __init__(self, layers: int, embed_dim: int, out: int, channels: int) -> None:
        super().__init__()
        self.levels = Levels(layers, embed_dim, channels)
        self.smooth = nn.ModuleList(block(channels, channels) for _ in range(4))
        self.classify = nn.Conv2d(channels, out, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits at four times the grid."""
        maps = [smooth(level) for smooth, level in zip(self.smooth, self.levels(tokens), strict=True)]
        total = maps[0]
        for level in maps[1:]:
            total = total + upsample_like(level, total)
        return cast(Tensor, self.classify(total))


class UPerNet(nn.Module):
    """Pooling of the coarsest level at four sizes, a path from coarse to fine, all levels fused (Xiao et al. 2018)."""

    POOLS = (1, 2, 3, 6)

    def __init__(self, layers: int, embed_dim: int, out: int, channels: int) -> None:
        super().__init__()
        self.levels = Levels(layers, embed_dim, channels)
        self.pooled = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in self.POOLS)
        self.top = block(channels * (1 + len(self.POOLS)), channels)
        self.lateral = nn.ModuleList(block(channels, channels, 1) for _ in range(3))
        self.smooth = nn.ModuleList(block(channels, channels) for _ in range(3))
        self.fuse = block(4 * channels, channels)
        self.classify = nn.Conv2d(channels, out, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits at four times the grid."""
        *fine, coarse = self.levels(tokens)
        pools = [
            upsample_like(convolve(adaptive_avg_pool2d(coarse, side)).relu(), coarse)
            for side, convolve in zip(self.POOLS, self.pooled, strict=True)
        ]
        path = [self.top(torch.cat([coarse, *pools], 1))]
        for lateral, level in zip(reversed(self.lateral), reversed(fine), strict=True):
            path.append(lateral(level) + upsample_like(path[-1], level))
        smooth = [path[0], *(layer(level) for layer, level in zip(self.smooth, path[1:], strict=True))]
        return cast(Tensor, self.classify(self.fuse(torch.cat([upsample_like(m, path[-1]) for m in smooth], 1))))


class DPT(nn.Module):
    """Levels fused from coarse to fine by residual units (Ranftl et al. 2021, arXiv 2103.13413)."""

    def __init__(self, layers: int, embed_dim: int, out: int, channels: int) -> None:
        super().__init__()
        self.levels = Levels(layers, embed_dim, channels)
        self.enter = nn.ModuleList(_Residual(channels) for _ in range(3))
        self.leave = nn.ModuleList(_Residual(channels) for _ in range(4))
        self.classify = nn.Sequential(block(channels, channels), nn.Conv2d(channels, out, 1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits at four times the grid."""
        *fine, coarse = self.levels(tokens)
        path = self.leave[3](coarse)
        for k in (2, 1, 0):
            path = self.leave[k](self.enter[k](fine[k]) + upsample_like(path, fine[k]))
        return cast(Tensor, self.classify(path))


class _Residual(nn.Module):
    """Two convolutions added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            norm(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.layers(x))


def linear(layers: int, embed_dim: int, out: int, _channels: int) -> nn.Module:
    """One matrix from all layers of a token to its logits, at the grid."""
    return Projection(range(layers), embed_dim, out, 0.01)


HEADS: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    "linear": linear,
    "pyramid": Pyramid,
    "upernet": UPerNet,
    "dpt": DPT,
}
"""By name, made of layers L, embed_dim D, number of logits K and channels."""
