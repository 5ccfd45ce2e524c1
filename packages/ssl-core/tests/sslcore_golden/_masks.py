"""Statistics of block masks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import ssl_core
import torch
from torch import Tensor

from sslcore_golden._comparison import DOUBLE, Comparison, read


def mask_statistics(masks: Tensor) -> dict[str, Tensor]:
    """Of bool masks (n, h, w), a value each: count, share at corners, edges and the centre, neighbours per token."""
    h, w = masks.shape[1:]
    m = masks.double()
    edge = torch.ones(h, w, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    pairs = (m[:, 1:] * m[:, :-1]).sum((1, 2)) + (m[:, :, 1:] * m[:, :, :-1]).sum((1, 2))
    count = m.sum((1, 2))
    top, left = h // 2 - 2, w // 2 - 2
    return {
        "mean_count": count,
        "corner_mean_prob": m[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(1),
        "edge_mean_prob": m[:, edge].mean(1),
        "centre_4x4_mean_prob": m[:, top : top + 4, left : left + 4].mean((1, 2)),
        "masked_neighbour_pairs_per_masked_token": pairs / count,
    }


def masking(folder: Path, draws: int) -> Iterator[Comparison]:
    """Block masks of our own against statistics: errors are in combined standard errors, of which 5 are allowed."""
    file, case = "masking", read(folder, "masking")[0]
    generator = torch.Generator().manual_seed(0)
    for grid, stated in case["grids"].items():
        height, width = map(int, grid.split("x"))
        for request, expected in stated["by_request"].items():
            masks = torch.stack([ssl_core.block_mask((height, width), int(request), generator) for _ in range(draws)])
            excess = float((masks.sum((1, 2)) - int(request)).max().clamp_min(0))
            yield Comparison(file, "tokens in excess", f"{grid} {request}", DOUBLE, excess, 0)
            spread = {"mean_count": expected["std_count"] / expected["draws"] ** 0.5, **expected["standard_errors"]}
            for name, values in mask_statistics(masks).items():
                theirs, ours = spread[name], float(values.std()) / draws**0.5
                error = abs(float(values.mean()) - expected[name]) / math.hypot(theirs, ours)
                yield Comparison(file, "standard errors", f"{grid} {request} {name}", DOUBLE, error, 5)
    for stated in case["upperbound"]:
        n, crops = stated["grid"], 2 * stated["images"]
        masks = ssl_core.crop_masks(
            crops, (n, n), probability=stated["mask_probability"], ratio=tuple(stated["ratio"]), generator=generator
        )
        masked = int((masks.sum(1) > 0).sum())
        yield Comparison(
            file, "masked crops", f"{n}x{n} B={crops // 2}", DOUBLE, abs(masked - stated["masked_crops"]), 0
        )
        excess = max(0.0, float(masks.sum()) - stated["upperbound"])
        yield Comparison(file, "tokens in excess", f"{n}x{n} B={crops // 2}", DOUBLE, excess, 0)
