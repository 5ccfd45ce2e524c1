"""What a transformer block does to each token by itself: an MLP, or a gated one (SwiGLU)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def gated_width(hidden: int) -> int:
    """Inner width of a SwiGLU that has as many weights as an MLP of width `hidden`, rounded up to a multiple of 8."""
    return (hidden * 2 // 3 + 7) // 8 * 8


class Mlp(nn.Module):
    """Two linear layers around an exact (erf) GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Transform each token."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class SwiGLU(nn.Module):
    """SiLU(x W1) * (x W2) W3 (Shazeer 2020, "GLU variants improve transformer"); `w12` holds W1, then W2.

    As in dinov2 it has as many weights as an MLP of width `hidden`.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        hidden = gated_width(hidden)
        self.w12 = nn.Linear(dim, 2 * hidden)
        self.w3 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Transform each token."""
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(nn.functional.silu(gate) * value)
