"""Metrics of one prediction per row, for many weightings of the rows at once (a bootstrap replicate is a weighting).

Weights are (R, N), how often each row counts; results (R,), NaN where a weighting leaves a metric undefined.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_probes._errors import ProbeError

Vector = NDArray[np.float64]
Weighted = Callable[[Vector, Vector, NDArray[np.float64]], Vector]


def auroc(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive is ranked above a negative, ties count half.

    Args:
        targets: (N,) of 0 and 1.
        predictions: (N,), higher means more likely positive.

    Returns:
        0..1; NaN where a class is absent.

    Raises:
        ProbeError: lengths that differ, no rows, NaN, targets other than 0 and 1.
    """
    return _once(weighted_auroc, *check_pair(targets, predictions, binary=True))


def average_precision(targets: ArrayLike, predictions: ArrayLike) -> float:
    """Area under the precision-recall curve as a sum of steps over distinct predictions (no interpolation).

    Args, returns and errors as for `auroc`; NaN only where there are no positives.
    """
    return _once(weighted_average_precision, *check_pair(targets, predictions, binary=True))


def check_pair(targets: ArrayLike, predictions: ArrayLike, *, binary: bool = False) -> tuple[Vector, Vector]:
    """Both as float vectors of one length without NaN; targets 0 and 1 if `binary`.

    Raises:
        ProbeError: anything else.
    """
    t, p = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    if t.ndim != 1 or t.shape != p.shape or not t.size:
        raise ProbeError(f"expected as many targets as predictions (N,), got {t.shape} and {p.shape}")
    if np.isnan(t).any() or np.isnan(p).any():
        raise ProbeError("expected numbers, got NaN in targets or predictions; leave unknown rows out")
    if binary and not np.isin(t, (0, 1)).all():
        odd = np.setdiff1d(t, (0, 1))[:5].tolist()
        raise ProbeError(f"targets: expected 0 and 1, NaN for unknown, got {odd} as well; map uncertain labels to NaN")
    return t, p


def weighted_auroc(targets: Vector, predictions: Vector, weights: NDArray[np.float64]) -> Vector:
    """AUROC of each weighting; equals `auroc` of rows repeated by their weight."""
    positive, negative = _by_rank(targets, predictions, weights)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + 0.5 * negative)).sum(1)
    return _ratio(wins, positive.sum(1) * negative.sum(1))


def weighted_average_precision(targets: Vector, predictions: Vector, weights: NDArray[np.float64]) -> Vector:
    """Average precision of each weighting."""
    positive, negative = _by_rank(targets, -predictions, weights)
    true = np.cumsum(positive, axis=1)
    precision = _ratio(true, true + np.cumsum(negative, axis=1), empty=0.0)
    return _ratio((positive * precision).sum(1), true[:, -1])


def weighted_mae(targets: Vector, predictions: Vector, weights: NDArray[np.float64]) -> Vector:
    """Mean absolute error of each weighting, in the unit of the targets."""
    return _ratio(weights @ np.abs(targets - predictions), weights.sum(1))


def weighted_r2(targets: Vector, predictions: Vector, weights: NDArray[np.float64]) -> Vector:
    """Coefficient of determination of each weighting: 1 - residual / total sum of squares."""
    total = _scatter(targets, targets, weights)
    return 1 - _ratio(weights @ (targets - predictions) ** 2, total)


def weighted_pearson(targets: Vector, predictions: Vector, weights: NDArray[np.float64]) -> Vector:
    """Pearson's correlation of each weighting."""
    spread = _scatter(targets, targets, weights) * _scatter(predictions, predictions, weights)
    return _ratio(_scatter(targets, predictions, weights), np.sqrt(spread))


def _once(metric: Weighted, targets: Vector, predictions: Vector) -> float:
    return float(metric(targets, predictions, np.ones((1, len(targets))))[0])


def _by_rank(targets: Vector, predictions: Vector, weights: NDArray[np.float64]) -> tuple[Vector, Vector]:
    """Weight of positives and of negatives at each distinct prediction, ascending: (R, G) each."""
    order = np.argsort(predictions, kind="stable")
    t, p, w = targets[order], predictions[order], weights[:, order]
    starts = np.flatnonzero(np.append(True, p[1:] != p[:-1]))
    positive, everything = w * t, w
    if len(starts) < len(p):
        positive = np.add.reduceat(positive, starts, axis=1)
        everything = np.add.reduceat(everything, starts, axis=1)
    return positive, everything - positive


def _scatter(a: Vector, b: Vector, weights: NDArray[np.float64]) -> Vector:
    """Weighted sum of (a - mean a)(b - mean b); what rounding leaves of a constant counts as zero."""
    a, b = a - a.mean(), b - b.mean()  # first by the plain means: large offsets would eat the digits
    n = weights.sum(1)
    sums = weights @ (a * b) - _ratio((weights @ a) * (weights @ b), n)
    scale = np.sqrt((weights @ a**2) * (weights @ b**2))
    return np.where(np.abs(sums) <= 1e-12 * scale, 0.0, sums)


def _ratio(top: Vector, bottom: Vector, empty: float = np.nan) -> Vector:
    """Top / bottom, `empty` where the bottom is zero."""
    return np.divide(top, bottom, out=np.full_like(top, empty), where=bottom > 0)


WEIGHTED: dict[object, Weighted] = {
    "auroc": weighted_auroc,
    "average_precision": weighted_average_precision,
    "mae": weighted_mae,
    "r2": weighted_r2,
    "pearson": weighted_pearson,
    auroc: weighted_auroc,
    average_precision: weighted_average_precision,
}
"""Vectorised metrics by name, and by the function of the same meaning."""
