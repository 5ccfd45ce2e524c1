"""DINO + iBOT as one writes it down at first: what anyone can compare a training step with.

Three forward passes, every matrix of tokens x prototypes whole, and drop path by multiplying a finished branch with 0.
Parameter names are dinov2's, so that both can have the same weights.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DropPath(nn.Module):
    """Multiplies the branch of some images by 0 and that of the others by 1 / (1 - p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        if not self.training or not self.p:
            return x
        return x * x.new_empty(len(x), 1, 1).bernoulli_(1 - self.p) / (1 - self.p)


class Block(nn.Module):
    """A pre-norm block."""

    def __init__(self, dim: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 4 * dim), "fc2": nn.Linear(4 * dim, dim)})
        self.ls1, self.ls2 = (nn.ParameterDict({"gamma": nn.Parameter(torch.full((dim,), 1e-5))}) for _ in range(2))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        b, n, d = x.shape
        q, k, v = self.attn["qkv"](self.norm1(x)).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d)
        x = x + self.drop_path(self.attn["proj"](mixed) * self.ls1["gamma"])
        hidden = F.gelu(self.mlp["fc1"](self.norm2(x)))
        return cast(Tensor, x + self.drop_path(self.mlp["fc2"](hidden) * self.ls2["gamma"]))


class ViT(nn.Module):
    """Images (B, C, H, W) to tokens (B, 1 + N, D), class token first."""

    def __init__(
        self, dim: int, depth: int, heads: int, patch: int, size: int, channels: int, drop_path: float
    ) -> None:
        super().__init__()
        self.side = size // patch
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(channels, dim, patch, patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.side**2, dim))
        self.mask_token = nn.Parameter(torch.zeros(1, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, drop_path) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, images: Tensor, masks: Tensor | None = None) -> Tensor:
        """Encode a batch; masked patches become the mask token."""
        grid = self.patch_embed["proj"](images)
        side, x = grid.shape[-1], grid.flatten(2).transpose(1, 2)
        if masks is not None:
            x = torch.where(masks[..., None], self.mask_token, x)
        positions: Tensor = self.pos_embed
        if side != self.side:
            table = positions[:, 1:].reshape(1, self.side, self.side, -1).permute(0, 3, 1, 2)
            scale = (side + 0.1) / self.side
            table = F.interpolate(table, scale_factor=(scale, scale), mode="bicubic")
            positions = torch.cat((positions[:, :1], table.flatten(2).transpose(1, 2)), dim=1)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1) + positions
        for block in self.blocks:
            x = block(x)
        return cast(Tensor, self.norm(x))


class Head(nn.Module):
    """Tokens to logits over prototypes."""

    def __init__(self, dim: int, prototypes: int) -> None:
        super().__init__()
        layers = (nn.Linear(dim, 2048), nn.GELU(), nn.Linear(2048, 2048), nn.GELU(), nn.Linear(2048, 256))
        self.mlp = nn.Sequential(*layers)
        self.last_layer = nn.utils.parametrizations.weight_norm(nn.Linear(256, prototypes, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) to (N, K)."""
        return cast(Tensor, self.last_layer(F.normalize(self.mlp(x), dim=-1)))


def koleo(x: Tensor) -> Tensor:
    """Mean of -log distance to the nearest neighbour."""
    x = F.normalize(x, dim=-1)
    near = (x @ x.T).fill_diagonal_(-1).argmax(dim=1)
    return -torch.log(F.pairwise_distance(x, x[near], eps=1e-8) + 1e-8).mean()


def loss(student: nn.ModuleDict, teacher: nn.ModuleDict, views: dict[str, Tensor], temperature: float) -> Tensor:
    """The training loss of one batch, crop-major, with centres that are still 0."""
    images = len(views["global_crops"]) // 2
    masked = views["masks"]

    def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
        return -(target * F.log_softmax(logits / 0.1, dim=-1)).sum(dim=-1)

    with torch.no_grad():
        seen = teacher["backbone"](views["global_crops"])
        of_class = F.softmax(teacher["head"](seen[:, 0]) / temperature, dim=-1).chunk(2)
        of_patch = F.softmax(teacher["head"](seen[:, 1:][masked]) / temperature, dim=-1)
    tokens = student["backbone"](views["global_crops"], masked)
    globals_ = student["head"](tokens[:, 0]).chunk(2)
    locals_ = student["head"](student["backbone"](views["local_crops"])[:, 0]).split(images)
    terms = 2 + 2 * len(locals_)
    dino = cross_entropy(of_class[0], globals_[1]).mean() + cross_entropy(of_class[1], globals_[0]).mean()
    for target in of_class:
        for view in locals_:
            dino = dino + cross_entropy(target, view).mean()
    weights = (1 / masked.sum(dim=1).clamp(min=1))[:, None].expand_as(masked)[masked]
    ibot = (cross_entropy(of_patch, student["head"](tokens[:, 1:][masked])) * weights).sum() / len(masked)
    return dino / terms + ibot + 0.1 * sum(koleo(c) for c in tokens[:, 0].chunk(2))
