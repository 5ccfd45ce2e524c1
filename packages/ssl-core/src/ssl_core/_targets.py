"""The teacher's targets over prototypes, row by row when they are needed: no matrix of tokens x prototypes is kept.

Both ways of centring are a softmax with a bias for each prototype: target = softmax(logits / temperature + bias). The
running centre gives bias = -centre / temperature. Sinkhorn-Knopp scales columns and rows by turns and ends with the
rows, and to scale rows to sum 1 is what softmax does; so its columns' scale, in logarithms, is the bias.

Everything is float32 (float64 stays float64) whatever precision the network ran in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ssl_core._distributed import max_over_ranks, sum_over_ranks
from ssl_core._losses import full_precision, in_full

if TYPE_CHECKING:
    from jaxtyping import Float

CHUNK = 6 << 20
"""Logits that a CPU holds at a time, 24 MiB in float32: below what C libraries map anew for each tensor."""

GPU_CHUNK = 64 << 20
"""The same of a GPU, 256 MiB: so many that it computes for longer than it takes to be told what."""

REMEMBERED, GPU_REMEMBERED = 5 << 24, 1 << 30
"""Logits that Sinkhorn-Knopp holds on to over its iterations, 320 MiB or 4 GiB; the others are computed again.

A GPU has that room at this time: what the student keeps for its backward pass comes later, its gradients are gone.
"""


def chunk(device: torch.device) -> int:
    """Logits that are held at a time on a device."""
    return CHUNK if device.type == "cpu" else GPU_CHUNK


def row_chunks(rows: int, columns: int, device: torch.device) -> Iterator[slice]:
    """Slices of at most `chunk` elements, of one row at least."""
    step = max(1, chunk(device) // max(columns, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def scores(
    rows: Float[Tensor, "n d"], prototypes: Float[Tensor, "k d"], temperature: float, bias: Tensor | None = None
) -> Float[Tensor, "n k"]:
    """Logits / temperature + bias (k,), a fresh matrix in full precision; bias and scale come in with the product."""
    if torch.is_autocast_enabled(rows.device.type) or rows.dtype not in (torch.float32, torch.float64):
        product = nn.functional.linear(rows, prototypes)
        shift = torch.zeros(1, device=rows.device) if bias is None else bias
        return torch.add(shift, product, alpha=1 / temperature)  # of both precisions the full one
    return nn.functional.linear(rows / temperature, prototypes, bias)


class Logits:
    """A product of n rows and k prototypes, computed again in chunks unless it fits into one."""

    def __init__(self, rows: Float[Tensor, "n d"], prototypes: Float[Tensor, "k d"], *, keep: bool = True) -> None:
        self._rows, self._prototypes = rows, prototypes
        self.shape = (len(rows), len(prototypes))
        self._kept: Tensor | None = None
        if keep and len(rows) * len(prototypes) <= chunk(rows.device):
            self._kept = full_precision(nn.functional.linear(rows, prototypes))

    def scaled(self, which: slice, temperature: float, bias: Tensor) -> Float[Tensor, "m k"]:
        """Some rows, divided by the temperature, plus a bias (k,); the matrix is the caller's to change."""
        if self._kept is None:
            return scores(self._rows[which], self._prototypes, temperature, bias)
        return (self._kept[which] / temperature).add_(bias)

    def most(self) -> Tensor:
        """A bound (k,) that no logit of a column exceeds: the longest row times each prototype's length."""
        rows, prototypes = full_precision(self._rows), full_precision(self._prototypes)
        longest = max_over_ranks(rows.norm(dim=1).amax() if len(rows) else rows.new_zeros(()))
        lengths: Tensor = prototypes.norm(dim=1)
        return longest * lengths

    def split(self, sizes: Sequence[int]) -> list[Logits]:
        """The same for runs of rows."""
        if len(sizes) == 1:
            return [self]
        parts = [Logits(rows, self._prototypes, keep=False) for rows in self._rows.split(list(sizes))]
        if self._kept is not None:
            for part, kept in zip(parts, torch.split(self._kept, list(sizes)), strict=True):
                part._kept = kept
        return parts

    def column_sums(self) -> Tensor:
        """Sums over rows (k,), without the matrix: summing and multiplying commute."""
        total = full_precision(self._rows).sum(dim=0, keepdim=True)
        with in_full(total):
            return nn.functional.linear(total, full_precision(self._prototypes)).squeeze(0)


class Targets:
    """Distributions over prototypes, made for the rows that are asked for; `bias` (k,) is added to the logits."""

    def __init__(self, logits: Logits, temperature: float, bias: Tensor) -> None:
        self._logits, self._temperature, self._bias = logits, temperature, bias

    def __getitem__(self, which: slice) -> Float[Tensor, "m k"]:
        return torch.softmax(self._logits.scaled(which, self._temperature, self._bias), dim=-1)

    def split(self, sizes: Sequence[int]) -> list[Targets]:
        """The same for runs of rows."""
        return [Targets(logits, self._temperature, self._bias) for logits in self._logits.split(sizes)]


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
    def bias(self, logits: Logits, temperature: float) -> Tensor:
        """Apply the pending mean, give -centre / temperature (k,), and keep the mean of these logits."""
        updated = self.value * self.momentum + self.pending * (1 - self.momentum)
        self.value.copy_(torch.where(self.has_pending, updated, self.value))
        sums = logits.column_sums()
        total = sum_over_ranks(torch.cat((sums, sums.new_full((1,), logits.shape[0]))))
        # A step that is not finite is refused; what it saw must not stay.
        self.has_pending.copy_((total[-1] > 0) & total.isfinite().all())
        self.pending.copy_(torch.where(self.has_pending, total[:-1] / total[-1], self.pending))
        return -self.value / temperature


@torch.no_grad()
def sinkhorn_bias(logits: Logits, temperature: float, iterations: int = 3) -> Tensor:
    """Log scale (k,) of the columns after `iterations` of Sinkhorn-Knopp (Caron et al. 2020, SwAV, section 3.1).

    With it each prototype is used alike over the rows of all processes, whose numbers may differ. One pass over the
    logits an iteration.
    """
    # A factor for each column is only another start of its scale: taking out a bound keeps exp from overflowing.
    shift = -logits.most() / temperature
    scale: Tensor = torch.ones_like(shift)
    chunks = list(row_chunks(*logits.shape, scale.device))
    most = REMEMBERED if scale.device.type == "cpu" else GPU_REMEMBERED
    remembered: list[Tensor] = []
    for iteration in range(iterations):
        sums = torch.zeros_like(scale)
        for i, rows in enumerate(chunks):
            plan = remembered[i] if i < len(remembered) else logits.scaled(rows, temperature, shift).exp_()
            if i == len(remembered) and rows.stop * len(scale) <= most:
                remembered.append(plan)
            with in_full(plan):
                sums += plan.sum(dim=0) if iteration == 0 else (1 / (plan @ scale)) @ plan
        scale = 1 / (sum_over_ranks(sums) * len(scale))
    return torch.log(scale) + shift
