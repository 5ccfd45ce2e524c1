"""The spreading loss, KoLeo, and the precision that losses are computed in.

Everything here is computed in float32 (float64 stays float64) whatever precision the network ran in: at
initialisation class tokens differ by 1e-5 and half precision would see duplicates.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


def full_precision(x: Tensor) -> Tensor:
    """Float32, or float64 where it came so."""
    return x if x.dtype == torch.float64 else x.float()


def in_full(x: Tensor) -> AbstractContextManager[Any]:
    """Within it products keep their precision, which autocast would lower whatever the factors'."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def koleo(x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """Mean of -log distance to the nearest neighbour on the unit sphere (Sablayrolles et al. 2019, eq. 2).

    Spreads class tokens over the sphere. One row has no neighbour: it is its own, with zero gradient.
    """
    x = F.normalize(full_precision(x), dim=-1, eps=1e-8)
    with torch.no_grad(), in_full(x):
        similarity = x @ x.T
        similarity.fill_diagonal_(-1)
        nearest = similarity.argmax(dim=1)
    distance = F.pairwise_distance(x, x[nearest], p=2, eps=1e-8)
    return -torch.log(distance + 1e-8).mean()
