"""The projection head that turns a token into logits over prototypes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float


class Prototypes(nn.Module):
    """Weight-normalised linear layer: a unit vector and a gain per prototype, no bias.

    The gain is trainable and weight-decayed as in dinov2 (the first DINO froze it). `weight_v` keeps nn.Linear's
    uniform initialisation, since dinov2 initialises the head before this layer exists.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(count, 1))
        self.weight_v = nn.Parameter(nn.Linear(dim, count, bias=False).weight.detach().clone())

    def forward(self) -> Float[Tensor, "k d"]:
        """The prototypes: unit vectors times their gains."""
        return self.weight_g * self.weight_v / self.weight_v.norm(dim=1, keepdim=True)


class DINOHead(nn.Module):
    """Linear-GELU stack to a bottleneck, L2 normalisation, prototypes.

    The losses take the two factors of the logits, `project` and `last_layer()`, and never their product as a whole.
    """

    def __init__(self, dim: int, prototypes: int, hidden: int, bottleneck: int, layers: int) -> None:
        super().__init__()
        sizes = [dim, *[hidden] * (layers - 1), bottleneck]
        stack: list[nn.Module] = []
        for i in range(layers):
            linear = nn.Linear(sizes[i], sizes[i + 1])
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
            stack += [linear, nn.GELU()]
        self.mlp = nn.Sequential(*stack[:-1])
        self.last_layer = Prototypes(bottleneck, prototypes)

    def project(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n b"]:
        """Unit vectors in the bottleneck; normalisation eps 1e-12, 1e-6 in half precision."""
        x = self.mlp(x)
        eps = 1e-6 if x.dtype == torch.float16 else 1e-12
        return nn.functional.normalize(x, dim=-1, eps=eps)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Logits in about [-1, 1]: cosine to each prototype times its gain."""
        return nn.functional.linear(self.project(x), self.last_layer())
