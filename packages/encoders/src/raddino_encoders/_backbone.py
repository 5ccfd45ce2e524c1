"""What a loader hands over: a network that gives tokens, and what an encoder must know of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from raddino_encoders._preprocess import Preprocessing

Pair = tuple[Tensor, Tensor]
"""Class token (B, D) and patch tokens (B, D, h, w) of one layer."""


class Backbone(nn.Module):
    """Normalised images (B, C, H, W) to the tokens of the last `layers` layers, the last one at the end."""

    most_layers = 1
    """How many layers it can give; more than 1 where all have the same tokens."""
    pooled = False
    """Whether the class token is the mean of the patch tokens, for want of one."""

    def last(self, x: Tensor) -> Pair:
        """Tokens of the last layer."""
        raise NotImplementedError

    def forward(self, x: Tensor, layers: int) -> list[Pair]:
        """Tokens by layer; a network that gives more than the last one's overrides it."""
        return [self.last(x)][:layers]


@dataclass(frozen=True)
class Loaded:
    """A backbone in evaluation mode, on the CPU in float32, with its facts."""

    backbone: Backbone
    preprocessing: Preprocessing
    embed_dim: int
    patch_size: int
    revision: str | None = None
    """The hub's commit, or the fingerprint of the weights; None where nothing was trained."""
    exact: bool = False
    """Computed in float32 whatever is asked for: a formula of few operations, which half precision would change."""


def to_grid(patches: Tensor, height: int, width: int) -> Tensor:
    """Patch tokens row by row (B, h*w, D) to (B, D, h, w)."""
    return patches.transpose(1, 2).reshape(patches.shape[0], patches.shape[2], height, width)


def split_tokens(tokens: Tensor, prefix: int, x: Tensor, patch_size: int) -> Pair:
    """Tokens (B, prefix + h*w, D) of a vision transformer, the class token being the first, for its input `x`."""
    height, width = x.shape[-2] // patch_size, x.shape[-1] // patch_size
    return tokens[:, 0], to_grid(tokens[:, prefix:], height, width)
