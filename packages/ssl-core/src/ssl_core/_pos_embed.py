"""Position embeddings for image sizes other than the one they were learned at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


def interpolate_pos_embed(
    table: Float[Tensor, "1 m d"], height: int, width: int, *, offset: float = 0.1, antialias: bool = False
) -> Float[Tensor, "1 n d"]:
    """Bicubic resize of a square table [class, grid] to `height` x `width` patches.

    dinov2 passes a scale factor (n + offset) / m rather than a size; the offset shifts every sampling point, so
    released weights only reproduce with it. Released register models use offset 0 and antialias instead.
    Below float64 it is computed in float32 whatever the autocast.
    """
    side = round((table.shape[1] - 1) ** 0.5)
    if (height, width) == (side, side):
        return table
    work = table if table.dtype == torch.float64 else table.float()
    grid = work[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if offset:
        scale = ((height + offset) / side, (width + offset) / side)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", antialias=antialias)
    else:
        grid = F.interpolate(grid, size=(height, width), mode="bicubic", antialias=antialias)
    grid = grid.permute(0, 2, 3, 1).flatten(1, 2)
    return torch.cat((work[:, :1], grid), dim=1).to(table.dtype)


def sincos_table(side: int, dim: int) -> Float[Tensor, "n d"]:
    """Fixed positions of a side x side grid: half the width for rows, half for columns (Chen et al. 2021, MoCo v3)."""
    pairs = dim // 4
    rates = 10000 ** (-torch.arange(pairs) / pairs)
    angles = torch.arange(side)[:, None] * rates
    axis = torch.cat((angles.sin(), angles.cos()), dim=1)
    rows, columns = axis[:, None].expand(side, side, -1), axis[None].expand(side, side, -1)
    table = torch.cat((rows, columns), dim=-1).flatten(0, 1)
    return F.pad(table, (0, dim - table.shape[1]))
