"""Vision Transformer with DINOv2's parameter names: class token, optional registers, LayerScale, drop path.

Images keep their own channels (1 for radiographs) up to the patch embedding. Any height and width, and depth of
volumes, that the patch size divides will do. The mask token replaces a patch embedding before positions are added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

from ssl_core._attention import attention
from ssl_core._distributed import fill
from ssl_core._errors import SslError
from ssl_core._ffn import Mlp, SwiGLU
from ssl_core._pos_embed import interpolate_pos_embed, sincos_table
from ssl_core._sizes import Size, patch_grid

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@dataclass(frozen=True)
class ViTConfig:
    """Shape of an encoder; `image_size` is the side in pixels at which positions are learned.

    A `patch_size` of three numbers (depth, height, width) makes it an encoder of volumes.

    Weights start from a normal of `init_std` (0.02 suits a width of 768; narrow models want about 0.5 / sqrt(width)),
    positions from a normal of 0.02, or from sines and cosines of amplitude `sincos` where that is not 0. At other sizes
    they are resized by the rule of `interpolate_pos_embed` that `pos_offset` and `pos_antialias` state.
    """

    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    patch_size: Size = 14
    image_size: Size = 518
    channels: int = 1
    mlp_ratio: float = 4.0
    ffn: Literal["mlp", "swiglu"] = "mlp"
    registers: int = 0
    layerscale: float = 1e-5
    drop_path: float = 0.0
    init_std: float = 0.02
    sincos: float = 0.0
    pos_offset: float = 0.1
    pos_antialias: bool = False

    def __post_init__(self) -> None:
        if self.embed_dim % self.num_heads:
            raise SslError(
                f"model.embed_dim must be a multiple of model.num_heads, got {self.embed_dim} and {self.num_heads}"
            )
        if self.mlp_ratio != int(self.mlp_ratio):
            raise SslError(f"model.mlp_ratio must be whole, as in transformers' Dinov2, got {self.mlp_ratio}")
        patch_grid(self.image_size, self.patch_size, "the image size")

    @property
    def grid(self) -> tuple[int, ...]:
        """Patches along each axis at the image size."""
        return patch_grid(self.image_size, self.patch_size, "the image size")


@dataclass(frozen=True)
class Features:
    """What an encoder gives: tokens after the final LayerNorm."""

    cls: Tensor
    """Class token, (B, D)."""
    patches: Tensor
    """Patch tokens, row by row, (B, h*w, D)."""
    registers: Tensor
    """Register tokens, (B, R, D)."""


class PatchEmbed(nn.Module):
    """Non-overlapping patches to vectors; the weights are those of a convolution, of volumes where the patch is one."""

    def __init__(self, channels: int, embed_dim: int, patch_size: Size) -> None:
        super().__init__()
        self.proj: nn.Conv2d | nn.Conv3d
        if isinstance(patch_size, int):
            self.proj = nn.Conv2d(channels, embed_dim, patch_size, patch_size)
        else:
            self.proj = nn.Conv3d(channels, embed_dim, patch_size, patch_size)

    def forward(self, images: Float[Tensor, "b c *axes"]) -> Float[Tensor, "b n d"]:
        """Embedded patches, row by row.

        Written as a matrix product: on CPU a strided convolution with few channels is several times slower.
        """
        return nn.functional.linear(self.cut(images), self.proj.weight.flatten(1), self.proj.bias)

    def cut(self, images: Float[Tensor, "b c *axes"]) -> Float[Tensor, "b n q"]:
        """Patches as vectors of their q values, channel by channel; the last axis runs fastest, in and among them."""
        b, c, *axes = images.shape
        split = [k for n, p in zip(axes, self.proj.kernel_size, strict=True) for k in (n // p, p)]
        where, within = range(2, 2 + 2 * len(axes), 2), range(3, 3 + 2 * len(axes), 2)
        patches = images.reshape(b, c, *split).permute(0, *where, 1, *within)
        return patches.reshape(b, -1, self.proj.weight[0].numel())


class Attention(nn.Module):
    """Multi-head self-attention; rows of `qkv` are q, k, v, each heads x head size."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Mix the tokens of each image."""
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(attention(q, k, v).transpose(1, 2).reshape(b, n, d))


class LayerScale(nn.Module):
    """A learned gain per channel on a residual branch (Touvron et al. 2021)."""

    def __init__(self, dim: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), initial))

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Scale each channel."""
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block; drop path leaves out whole images, and their work, per residual branch."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        hidden = int(dim * config.mlp_ratio)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, config.num_heads)
        self.ls1 = LayerScale(dim, config.layerscale)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = SwiGLU(dim, hidden) if config.ffn == "swiglu" else Mlp(dim, hidden)
        self.ls2 = LayerScale(dim, config.layerscale)
        self.drop_path = config.drop_path

    def _attend(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.ls1(self.attn(self.norm1(x))))

    def _feed(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.ls2(self.mlp(self.norm2(x))))

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Attention, then MLP, each added to its input."""
        for branch in (self._attend, self._feed):
            if self.training and self.drop_path > 0:
                # A subset of max(int(b (1-p)), 1) images takes the branch, scaled by b / subset so that the
                # expectation holds (DINOv2's "efficient stochastic depth"): the skipped images cost nothing.
                b = x.shape[0]
                kept = max(int(b * (1 - self.drop_path)), 1)
                index = torch.randperm(b, device=x.device)[:kept]
                x = x.index_add(0, index, branch(x[index]).to(x.dtype), alpha=b / kept)
            else:
                x = x + branch(x)
        return x


class VisionTransformer(nn.Module):
    """Images (B, C, H, W) or volumes (B, C, D, H, W) to `Features`."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_dim, self.patch_size = config.embed_dim, config.patch_size
        dim = config.embed_dim
        self.patch_embed = PatchEmbed(config.channels, dim, config.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + math.prod(config.grid), dim))
        self.mask_token = nn.Parameter(torch.zeros(1, dim))
        if config.registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.initialise()

    def initialise(self) -> None:
        """Draw positions, tokens and linear layers; of a sharded encoder, the same."""
        fill(self.pos_embed, self._draw_positions)
        fill(self.cls_token, partial(nn.init.normal_, std=1e-6))
        if self.config.registers:
            fill(self.register_tokens, partial(nn.init.normal_, std=1e-6))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                fill(module.weight, partial(nn.init.trunc_normal_, std=self.config.init_std))
                fill(module.bias, nn.init.zeros_)

    def _draw_positions(self, table: Tensor) -> None:
        nn.init.trunc_normal_(table, std=0.02)
        if self.config.sincos:
            table[0, 1:] = self.config.sincos * sincos_table(self.config.grid, self.config.embed_dim)

    def forward(self, images: Float[Tensor, "b c *axes"], masks: Bool[Tensor, "b n"] | None = None) -> Features:
        """Encode a batch.

        Args:
            images: normalised pixels; each axis a multiple of the patch's.
            masks: True where a patch is hidden from the encoder.

        Raises:
            SslError: wrong rank, channel count, size, or masks that don't fit the grid.
        """
        x = self._embed(images, masks)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        first = 1 + self.config.registers
        return Features(cls=x[:, 0], registers=x[:, 1:first], patches=x[:, first:])

    def _embed(self, images: Tensor, masks: Tensor | None) -> Tensor:
        learned, channels = self.config.grid, self.config.channels
        if images.ndim != 2 + len(learned) or images.shape[1] != channels:
            shape = f"(B, {channels}, {'D, H, W' if len(learned) == 3 else 'H, W'})"
            raise SslError(f"expected images {shape}, got {tuple(images.shape)}")
        grid = patch_grid(tuple(images.shape[2:]), self.config.patch_size, "each axis")
        x = cast(Tensor, self.patch_embed(images))
        if masks is not None:
            if masks.shape != x.shape[:2]:
                raise SslError(f"expected masks {tuple(x.shape[:2])}, got {tuple(masks.shape)}")
            x = torch.where(masks.unsqueeze(-1), self.mask_token.to(x.dtype).unsqueeze(0), x)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1).to(x.dtype), x), dim=1)
        x = x + interpolate_pos_embed(
            self.pos_embed,
            grid,
            learned=learned,
            offset=self.config.pos_offset,
            antialias=self.config.pos_antialias,
        )
        if self.config.registers:
            registers = self.register_tokens.expand(x.shape[0], -1, -1).to(x.dtype)
            x = torch.cat((x[:, :1], registers, x[:, 1:]), dim=1)
        return x
