"""Position embeddings for image sizes other than the one they were learned at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core._losses import in_full

if TYPE_CHECKING:
    from jaxtyping import Float


def interpolate_pos_embed(
    table: Float[Tensor, "1 m d"],
    grid: Sequence[int],
    *,
    learned: Sequence[int] | None = None,
    offset: float = 0.1,
    antialias: bool = False,
) -> Float[Tensor, "1 n d"]:
    """Resize a table [class, learned grid] to another grid of patches: bicubic in a plane, trilinear in a volume.

    dinov2 passes a scale factor (n + offset) / m rather than a size; the offset shifts every sampling point, so
    released weights only reproduce with it. Released register models use offset 0 and antialias instead. Volumes know
    neither. Below float64 it is computed in float32 whatever the autocast.

    Args:
        table: the class token's position, then the grid's, row by row.
        grid: patches along each axis.
        learned: the grid of the table; the default is a square.
        offset: see above.
        antialias: see above.
    """
    if learned is None:
        learned = [round((table.shape[1] - 1) ** 0.5)] * 2
    if list(grid) == list(learned):
        return table
    work = table if table.dtype == torch.float64 else table.float()
    places = work[0, 1:].T.unflatten(1, tuple(learned))
    with in_full(places):
        for n, m in zip(grid, learned, strict=True):
            weights = _weights(n, m, len(grid), offset, antialias).to(places.dtype)
            weights = weights.to(places.device, non_blocking=True)
            places = torch.tensordot(places, weights, dims=([1], [0]))  # the axis that was first becomes the last
    return torch.cat((work[:, :1], places.flatten(1).T[None]), dim=1).to(table.dtype)


def _weights(n: int, m: int, axes: int, offset: float, antialias: bool) -> Float[Tensor, "m n"]:
    """What each of n places takes from m along one axis: torch's own interpolation of m places that are 1 in turn.

    Written as products the gradient of a table has the same bits each time, which torch's has not on a GPU.
    """
    turns = torch.eye(m, dtype=torch.float64)
    if axes == 3:
        return F.interpolate(turns[None], size=n, mode="linear")[0]
    along: dict[str, tuple[float, float]] = {"scale_factor": ((n + offset) / m, 1.0)} if offset else {"size": (n, m)}
    return F.interpolate(turns[None, None], **along, mode="bicubic", antialias=antialias)[0, 0].T  # type: ignore[arg-type]


def sincos_table(grid: Sequence[int], dim: int) -> Float[Tensor, "n d"]:
    """Fixed positions: an equal part of the width for each axis of the grid (Chen et al. 2021, MoCo v3)."""
    pairs = dim // (2 * len(grid))
    rates = 10000 ** (-torch.arange(pairs) / pairs)
    parts = []
    for place in torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij"):
        angles = place.flatten()[:, None] * rates
        parts += [angles.sin(), angles.cos()]
    table = torch.cat(parts, dim=1)
    return F.pad(table, (0, dim - table.shape[1]))
