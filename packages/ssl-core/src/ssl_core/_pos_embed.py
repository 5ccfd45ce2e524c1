"""Position embeddings for image sizes other than the one they were learned at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

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
    places = work[:, 1:].reshape(1, *learned, -1).movedim(-1, 1)
    if len(grid) == 3:
        places = F.interpolate(places, size=tuple(grid), mode="trilinear")
    elif offset:
        scale = tuple((n + offset) / m for n, m in zip(grid, learned, strict=True))
        places = F.interpolate(places, scale_factor=scale, mode="bicubic", antialias=antialias)
    else:
        places = F.interpolate(places, size=tuple(grid), mode="bicubic", antialias=antialias)
    return torch.cat((work[:, :1], places.flatten(2).transpose(1, 2)), dim=1).to(table.dtype)


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
