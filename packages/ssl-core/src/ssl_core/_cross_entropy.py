"""Cross-entropy of a student with targets over many prototypes, in chunks of rows, gradient included.

With 65,536 prototypes a matrix of logits is the largest thing in a training step, and the usual way writes several of
its size: logits, their softmax, targets, products, gradients. Here a chunk of rows is turned into its loss and its
gradient at once and forgotten, with the same three matrix products and nothing computed twice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ssl_core._losses import full_precision, in_full
from ssl_core._targets import Targets, row_chunks, scores

if TYPE_CHECKING:
    from jaxtyping import Float


def prototype_cross_entropy(
    rows: Float[Tensor, "n d"],
    prototypes: Float[Tensor, "k d"],
    targets: Tensor | Targets,
    weights: Tensor,
    temperature: float,
    *,
    compiled: bool = False,
) -> Float[Tensor, ""]:
    """sum_i weights[i] * -sum_k targets[i, k] log softmax(rows @ prototypes.T / temperature)[i, k].

    Args:
        rows: of the student, as they meet the prototypes.
        prototypes: with their gains.
        targets: (n, k), as a matrix or made when needed; no gradient flows into them; a row need not sum to 1.
        weights: (n,) of the rows, without gradient.
        temperature: of the student.
        compiled: what lies between the products becomes a few kernels.
    """
    work = _compiled() if compiled else _chunk
    loss: Tensor = _CrossEntropy.apply(rows, prototypes, targets, weights, temperature, work)
    return loss


def _chunk(
    rows: Tensor, prototypes: Tensor, target: Tensor, weight: Tensor, temperature: float, learn: bool
) -> tuple[Tensor, Tensor]:
    """The loss of some rows, and its gradient by their products with the prototypes, in the rows' precision."""
    logits = scores(rows, prototypes, temperature)
    mass = target.sum(dim=1)
    spread = logits.logsumexp(dim=1)
    # sum_k t (lse - s) = lse * sum_k t - t . s
    with in_full(logits):
        loss = ((spread * mass - torch.linalg.vecdot(target, logits)) * weight).sum()
    if not learn:
        return loss, rows
    slope = logits.sub_(spread[:, None]).exp_().mul_(mass[:, None]).sub_(target)
    return loss, slope.mul_((weight / temperature)[:, None]).to(rows.dtype)


@functools.cache
def _compiled() -> Callable[..., tuple[Tensor, Tensor]]:
    return torch.compile(_chunk)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        prototypes: Tensor,
        targets: Tensor | Targets,
        weights: Tensor,
        temperature: float,
        work: Callable[..., tuple[Tensor, Tensor]],
    ) -> Tensor:
        n, k = len(rows), len(prototypes)
        loss = full_precision(weights.new_zeros(()))
        learn = any(ctx.needs_input_grad[:2])
        by_row, by_prototype = torch.zeros_like(rows), torch.zeros_like(prototypes) if learn else None
        for which in row_chunks(n, k, rows.device):
            some = rows[which]
            weight = full_precision(weights[which])
            part, slope = work(some, prototypes, targets[which], weight, temperature, learn)
            loss += part
            if by_prototype is not None:
                by_row[which] = slope @ prototypes.to(rows.dtype)
                by_prototype += slope.T @ some
        if by_prototype is not None:
            ctx.save_for_backward(by_row, by_prototype)
        return loss

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        by_row, by_prototype = ctx.saved_tensors
        return upstream[0] * by_row, upstream[0] * by_prototype, None, None, None, None
