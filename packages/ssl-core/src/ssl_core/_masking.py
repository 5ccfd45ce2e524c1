"""Block masks for iBOT: which patches the student must not see."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def block_mask(grid: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
    """A bool mask of the grid's shape, of at most `count` patches made of rectangles or boxes.

    Blocks have 4 patches or more, half the grid at most, proportions 0.3 to 1/0.3 of the grid's, and are shorter than
    the grid along each axis that has two patches; each gets 10 attempts. The loop may end a little short of `count`
    (0.97 to 1.0 of it in practice), never above (BEiT's masking as used by iBOT and dinov2).
    """
    mask = torch.zeros(*grid, dtype=torch.bool)
    patches = mask.numel()
    total = 0
    while total < count:
        added = 0
        limit = min(count - total, 0.5 * patches)
        for _ in range(10):
            sides = _draw_sides(grid, _uniform(4, limit, generator) / patches, generator)
            if any(side >= n > 1 for side, n in zip(sides, grid, strict=True)):
                continue
            start = [
                int(torch.randint(0, n - s + 1, (), generator=generator)) for n, s in zip(grid, sides, strict=True)
            ]
            block = mask[tuple(slice(a, a + s) for a, s in zip(start, sides, strict=True))]
            fresh = block.numel() - int(block.sum())
            if 0 < fresh <= limit:
                block.fill_(True)
                added = fresh
                break
        if not added:
            break
        total += added
    return mask


def _draw_sides(grid: Sequence[int], share: float, generator: torch.Generator) -> list[int]:
    """Sides of a block that has this share of the grid; on a square grid dinov2's sqrt(area * aspect)."""
    logs = [_uniform(math.log(0.3), math.log(1 / 0.3), generator) for _ in grid[1:]]
    plane = logs[0] / 2
    stretch = [plane, -plane]
    if len(grid) == 3:
        stretch = [2 / 3 * logs[1], *(s - logs[1] / 3 for s in stretch)]
    side = share ** (1 / len(grid))
    return [min(max(round(n * side * math.exp(s)), 1), n) for n, s in zip(grid, stretch, strict=True)]


def crop_masks(
    crops: int,
    grid: Sequence[int],
    *,
    probability: float,
    ratio: tuple[float, float],
    exact: bool = False,
    generator: torch.Generator,
) -> Tensor:
    """Masks for a batch of global crops, bool (crops, patches).

    int(crops * probability) of them are masked; their ratios are stratified: one drawn from each of equal bins
    over `ratio`, then shuffled over the crops, so that an image may have none, one or both of its crops masked.
    With `exact` a ratio is its bin's upper edge, and a mask that ends short is completed at random.
    """
    patches = math.prod(grid)
    masked = int(crops * probability)
    edges = torch.linspace(ratio[0], ratio[1], masked + 1).tolist()
    masks = torch.zeros(crops, patches, dtype=torch.bool)
    order = torch.randperm(crops, generator=generator)[:masked].tolist()
    for crop, low, high in zip(order, edges[:-1], edges[1:], strict=True):
        count = int(patches * (high if exact else _uniform(low, high, generator)))
        masks[crop] = block_mask(grid, count, generator).flatten()
        if exact:
            free = (~masks[crop]).nonzero().squeeze(1)
            missing = count - (patches - len(free))
            masks[crop, free[torch.randperm(len(free), generator=generator)[:missing]]] = True
    return masks
