"""Confidence intervals by resampling patients, because the images of one patient are not independent.

Percentile bootstrap of clusters (Efron & Tibshirani 1993, chapters 8 and 13).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_probes._errors import ProbeError
from raddino_probes._interval import Interval
from raddino_probes._metrics import WEIGHTED, Vector, Weighted, check_pair

Metric = str | Callable[[Vector, Vector], float]
"""One of "auroc", "average_precision", "mae", "r2", "pearson" (fast), or any function of targets and predictions."""

# Elements of a block of weights (replicates x rows): 32 MB of float64, a few such arrays live at once.
_BLOCK = 4_000_000


def bootstrap_by_patient(
    metric: Metric,
    targets: ArrayLike,
    predictions: ArrayLike,
    patients: ArrayLike,
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """A metric with its percentile interval over resampled patients.

    A replicate draws as many patients as there are, with replacement; all rows of a patient come as often as the
    patient was drawn. Replicates in which the metric is undefined (AUROC of one class) are left out of the
    percentiles; the interval is NaN where more than half are.

    Args:
        metric: a name, or `f(targets, predictions) -> float`, which is called once per replicate.
        targets: (N,); rows with NaN are left out.
        predictions: (N,).
        patients: (N,) identifiers.
        replicates: how many.
        seed: of the resampling; the same patients and seed give the same replicates for every metric and model.
        level: of the interval, between 0 and 1.

    Raises:
        ProbeError: an unknown metric, lengths that differ, NaN predictions, fewer than two patients, numbers out of
            range.
    """
    t, p, groups = _known(metric, targets, predictions, patients)
    weighted = _weighted(metric)
    draws = [weighted(t, p, w) for w in _weights(groups, replicates, seed)]
    return _interval(float(weighted(t, p, np.ones((1, len(t))))[0]), np.concatenate(draws), level)


def paired_difference(
    metric: Metric,
    targets: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    patients: ArrayLike,
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The metric of predictions `a` minus that of `b` on the same rows, each replicate the same for both.

    Arguments and errors as for `bootstrap_by_patient`. An interval that leaves out zero is a difference at `level`.
    """
    t, first, groups = _known(metric, targets, a, patients)
    _, second, _ = _known(metric, targets, b, patients)
    weighted = _weighted(metric)
    draws = [weighted(t, first, w) - weighted(t, second, w) for w in _weights(groups, replicates, seed)]
    whole = np.ones((1, len(t)))
    value = float((weighted(t, first, whole) - weighted(t, second, whole))[0])
    return _interval(value, np.concatenate(draws), level)


def _known(
    metric: Metric, targets: ArrayLike, predictions: ArrayLike, patients: ArrayLike
) -> tuple[Vector, Vector, NDArray[np.int64]]:
    """Rows with a target, and for each the number of its patient, 0..P-1."""
    t, p, who = np.asarray(targets, np.float64), np.asarray(predictions, np.float64), np.asarray(patients)
    if not (t.shape == p.shape == who.shape):
        raise ProbeError(f"expected equal lengths, got targets {t.shape}, predictions {p.shape}, patients {who.shape}")
    keep = ~np.isnan(t)
    t, p = check_pair(t[keep], p[keep], binary=_weighted(metric) in _RANKED)
    groups = np.unique(who[keep], return_inverse=True)[1]
    if groups.max() == 0:
        raise ProbeError("expected at least two patients to resample, got one")
    return t, p, groups


_RANKED = (WEIGHTED["auroc"], WEIGHTED["average_precision"])


def _weighted(metric: Metric) -> Weighted:
    if metric in WEIGHTED:
        return WEIGHTED[metric]
    if not callable(metric):
        names = ", ".join(name for name in WEIGHTED if isinstance(name, str))
        raise ProbeError(f"metric: expected one of {names}, or a function, got {metric!r}")
    function = metric

    def loop(targets: Vector, predictions: Vector, weights: NDArray[np.float64]) -> Vector:
        rows = (np.repeat(np.arange(len(targets)), w.astype(np.int64)) for w in weights)
        return np.array([function(targets[i], predictions[i]) for i in rows], np.float64)

    return loop


def _weights(groups: NDArray[np.int64], replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks (r, N) of how often each row counts; r adds up to `replicates`."""
    if replicates < 1:
        raise ProbeError(f"replicates: expected 1 or more, got {replicates}")
    rng = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    block = max(_BLOCK // len(groups), 1)
    for start in range(0, replicates, block):
        r = min(block, replicates - start)
        drawn = rng.integers(0, count, (r, count)) + count * np.arange(r)[:, None]
        times = np.bincount(drawn.ravel(), minlength=r * count).reshape(r, count)
        yield times[:, groups].astype(np.float64)


def _interval(value: float, draws: Vector, level: float) -> Interval:
    if not 0 < level < 1:
        raise ProbeError(f"level: expected a number between 0 and 1, got {level}")
    defined = draws[np.isfinite(draws)]
    if 2 * len(defined) < len(draws) or not len(defined):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
