"""Numbers that tell learning from collapse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


@torch.no_grad()
def rankme(features: Float[Tensor, "n d"]) -> float:
    """Effective rank: exp of the entropy of normalised singular values, 1 to min(n, d) (Garrido et al. 2023, eq. 2)."""
    values = torch.linalg.svdvals(features.double())
    p = values / values.sum().clamp_min(1e-12) + 1e-7
    return float(torch.exp(-(p * p.log()).sum()))
