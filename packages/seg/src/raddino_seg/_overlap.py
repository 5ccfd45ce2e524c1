"""How much of two regions is common: Dice and IoU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Regions = NDArray[np.bool_]


def dice(prediction: Regions, truth: Regions) -> NDArray[np.float64]:
    """Twice the common pixels over the sum of both, (...,) of regions (..., H, W).

    NaN where both are empty: there is nothing to overlap, and 1 would flatter.
    """
    both, a, b = _counts(prediction, truth)
    return _ratio(2 * both, a + b)


def iou(prediction: Regions, truth: Regions) -> NDArray[np.float64]:
    """Common pixels over those of either (Jaccard), NaN where both are empty."""
    both, a, b = _counts(prediction, truth)
    return _ratio(both, a + b - both)


def _counts(prediction: Regions, truth: Regions) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    both, a, b = (region.sum(axis=(-2, -1)) for region in (prediction & truth, prediction, truth))
    return np.asarray(both), np.asarray(a), np.asarray(b)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))
