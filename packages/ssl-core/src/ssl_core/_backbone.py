"""What can be trained: any module that gives class and patch tokens of images of which it must not see some patches."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ssl_core._errors import SslError
from ssl_core._sizes import Size, patch_grid
from ssl_core._vit import Features


@runtime_checkable
class Backbone(Protocol):
    """An nn.Module for `Trainer`'s `backbone`; `VisionTransformer` is one.

    Parameters are trained by dinov2's rules for names: those in `blocks.<i>.`, at the top or one level down, learn
    layer by layer; tokens (`*_token`, `pos_embed`) as the layer below; `patch_embed` slower. Without such blocks, as in
    hierarchical encoders, all learn alike. Biases, norms and whatever has one axis are not weight-decayed. The
    teacher's parameters are moving averages; its buffers, such as a batch norm's statistics, are the student's.
    """

    embed_dim: int
    """Length of a token."""
    patch_size: Size
    """Pixels that a patch token stands for, along each axis: the stride of the last stage."""

    def state_dict(self) -> dict[str, Any]:
        """As of any module."""

    def __call__(self, images: Tensor, masks: Tensor | None = None) -> Features:
        """Encode a batch of any size that patches divide.

        Args:
            images: normalised pixels (B, C, H, W), or volumes.
            masks: bool (B, n), True where a patch must not be seen: a mask token stands in for its embedding or
                its pixels (see `mask_pixels`).

        Returns:
            `cls` (B, D), a mean of patch tokens where there is no class token; `patches` (B, n, D), row by row;
            `registers` (B, 0, D) where there are none.
        """


def mask_pixels(images: Tensor, masks: Tensor, patch_size: Size, token: Tensor) -> Tensor:
    """Put a token in place of the pixels of masked patches, for encoders that mix pixels before there are patches.

    Args:
        images: (B, C, H, W), or volumes.
        masks: bool (B, n), row by row.
        patch_size: pixels of a patch.
        token: one value a channel (C,), learned as a rule.

    Raises:
        SslError: masks that don't fit the grid.
    """
    grid = patch_grid(tuple(images.shape[2:]), patch_size, "each axis")
    if masks.shape != (len(images), torch.Size(grid).numel()):
        raise SslError(f"expected masks {(len(images), torch.Size(grid).numel())}, got {tuple(masks.shape)}")
    hidden = masks.reshape(-1, *grid)
    for axis, (pixels, patches) in enumerate(zip(images.shape[2:], grid, strict=True), start=1):
        hidden = hidden.repeat_interleave(pixels // patches, dim=axis)
    return torch.where(hidden[:, None], token.view(-1, *[1] * len(grid)).to(images.dtype), images)
