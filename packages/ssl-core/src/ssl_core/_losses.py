"""Targets and losses of DINO, iBOT and KoLeo as plain functions on tensors.

Everything here is computed in float32 (float64 stays float64) whatever precision the network ran in: at
initialisation class tokens differ by 1e-5 and half precision would see duplicates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core._distributed import max_over_ranks, sum_over_ranks

if TYPE_CHECKING:
    from jaxtyping import Float


def full_precision(x: Tensor) -> Tensor:
    """Float32, or float64 where it came so."""
    return x if x.dtype == torch.float64 else x.float()


class Centre(nn.Module):
    """Running mean of the teacher's logits, subtracted before its softmax (Caron et al. 2021, section 3.1).

    As in dinov2 the mean of a step is pending until the next one: step t is centred by what steps < t saw. The mean
    is over the rows of all processes; dinov2 averages each process's mean of masked patches, whatever their number.
    """

    value: Tensor
    pending: Tensor
    has_pending: Tensor

    def __init__(self, prototypes: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(prototypes))
        self.register_buffer("pending", torch.zeros(prototypes))
        self.register_buffer("has_pending", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def targets(self, logits: Float[Tensor, "n k"], temperature: float) -> Float[Tensor, "n k"]:
        """Apply the pending mean, give softmax((logits - centre) / temperature), and keep this step's mean."""
        logits = full_precision(logits)
        updated = self.value * self.momentum + self.pending * (1 - self.momentum)
        self.value.copy_(torch.where(self.has_pending, updated, self.value))
        target = torch.softmax((logits - self.value) / temperature, dim=-1)
        total = sum_over_ranks(torch.cat((logits.sum(dim=0), logits.new_tensor([len(logits)]))))
        self.has_pending.copy_(total[-1] > 0)
        self.pending.copy_(torch.where(self.has_pending, total[:-1] / total[-1], self.pending))
        return target


@torch.no_grad()
def sinkhorn_knopp(logits: Float[Tensor, "n k"], temperature: float, iterations: int = 3) -> Float[Tensor, "n k"]:
    """Targets whose rows sum to 1 and which use each prototype alike (Caron et al. 2020, SwAV, section 3.1).

    Prototypes are balanced over the rows of all processes, whose numbers may differ.
    """
    logits = full_precision(logits)
    k = logits.shape[1]
    # Logits are at most the largest gain: taking out a common bound, which cancels, keeps exp from overflowing.
    bound = logits.amax() if len(logits) else logits.new_full((), -torch.inf)
    plan = torch.exp((logits - max_over_ranks(bound)) / temperature)
    for _ in range(iterations):
        plan /= sum_over_ranks(plan.sum(dim=0, keepdim=True)) * k
        plan /= plan.sum(dim=1, keepdim=True)
    return plan


def cross_entropy(
    target: Float[Tensor, "n k"], logits: Float[Tensor, "n k"], temperature: float
) -> Float[Tensor, "..."]:
    """-sum_k target log softmax(logits / temperature), per row."""
    return -(target * F.log_softmax(full_precision(logits) / temperature, dim=-1)).sum(dim=-1)


def koleo(x: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """Mean of -log distance to the nearest neighbour on the unit sphere (Sablayrolles et al. 2019, eq. 2).

    Spreads class tokens over the sphere. One row has no neighbour: it is its own, with zero gradient.
    """
    x = F.normalize(full_precision(x), dim=-1, eps=1e-8)
    with torch.no_grad():
        similarity = x @ x.T
        similarity.fill_diagonal_(-1)
        nearest = similarity.argmax(dim=1)
    distance = F.pairwise_distance(x, x[nearest], p=2, eps=1e-8)
    return -torch.log(distance + 1e-8).mean()
