"""Linear layers on CPUs: weights laid out once for oneDNN, half as long as PyTorch's default on many processors.

PyTorch multiplies float32 by MKL, which on other makers' processors leaves their widest instructions alone. oneDNN,
which PyTorch brings for convolutions and which `torch.compile` uses when it freezes a model, does not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """`nn.Linear` for inference in float32 on a CPU."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """The same as the layer's own, to rounding."""
        packed: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return packed


def pack(model: nn.Module) -> None:
    """Put a packed layer in the place of each linear one, where this PyTorch can."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:  # a subclass may do something else
                setattr(parent, name, PackedLinear(child))
