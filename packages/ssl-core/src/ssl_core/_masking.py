"""Block masks for iBOT: which patches the student must not see."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def block_mask(height: int, width: int, count: int, generator: torch.Generator) -> Tensor:
    """A bool (height, width) mask of at most `count` patches made of rectangles.

    Blocks have 4 patches or more and aspect 0.3 to 1/0.3; each gets 10 attempts. The loop may end a little short of
    `count` (0.97 to 1.0 of it in practice), never above (BEiT's masking as used by iBOT and dinov2).
    """
    mask = torch.zeros(height, width, dtype=torch.bool)
    largest = 0.5 * height * width
    total = 0
    while total < count:
        added = 0
        limit = min(count - total, largest)
        for _ in range(10):
            area = _uniform(4, limit, generator)
            aspect = math.exp(_uniform(math.log(0.3), math.log(1 / 0.3), generator))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h >= height or w >= width:
                continue
            top = int(torch.randint(0, height - h + 1, (), generator=generator))
            left = int(torch.randint(0, width - w + 1, (), generator=generator))
            block = mask[top : top + h, left : left + w]
            fresh = h * w - int(block.sum())
            if 0 < fresh <= limit:
                block.fill_(True)
                added = fresh
                break
        if not added:
            break
        total += added
    return mask


def crop_masks(
    crops: int,
    grid: tuple[int, int],
    *,
    probability: float,
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Masks for a batch of global crops, bool (crops, h*w).

    int(crops * probability) of them are masked; their ratios are stratified: one drawn from each of equal bins
    over `ratio`, then shuffled over the crops, so that an image may have none, one or both of its crops masked.
    """
    height, width = grid
    masked = int(crops * probability)
    edges = torch.linspace(ratio[0], ratio[1], masked + 1).tolist()
    masks = torch.zeros(crops, height * width, dtype=torch.bool)
    order = torch.randperm(crops, generator=generator)[:masked].tolist()
    for crop, low, high in zip(order, edges[:-1], edges[1:], strict=True):
        count = int(height * width * _uniform(low, high, generator))
        masks[crop] = block_mask(height, width, count, generator).flatten()
    return masks
