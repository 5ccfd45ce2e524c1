"""Metrics that are functions of sums over rows: for many resamples, one product with the sums of each patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from raddino_probes._resample import Array, Statistic, ratio

BINS = 15
"""Of equal width over 0..1, for the expected calibration error (Guo et al. 2017)."""


def mae_statistic(targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    """Mean absolute error."""
    return _mean(np.abs(targets - predictions), groups, patients)


def brier_statistic(targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    """Mean squared error of probabilities (Brier 1950)."""
    return _mean((targets - predictions) ** 2, groups, patients)


def r2_statistic(targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    """1 - residual / total sum of squares."""
    t = targets - targets.mean()  # large offsets would eat the digits

    def finish(n: Array, st: Array, stt: Array, see: Array) -> Array:
        return 1 - ratio(see, _scatter(n, st, st, stt, stt, stt))

    return _of_sums([np.ones_like(t), t, t**2, (targets - predictions) ** 2], finish, groups, patients)


def pearson_statistic(targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    """Pearson's correlation."""
    t, p = targets - targets.mean(), predictions - predictions.mean()

    def finish(n: Array, st: Array, sp: Array, stt: Array, spp: Array, stp: Array) -> Array:
        spread = _scatter(n, st, st, stt, stt, stt) * _scatter(n, sp, sp, spp, spp, spp)
        return ratio(_scatter(n, st, sp, stp, stt, spp), np.sqrt(spread))

    return _of_sums([np.ones_like(t), t, p, t**2, p**2, t * p], finish, groups, patients)


def f1_statistic(targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    """Harmonic mean of precision and sensitivity of decisions."""
    columns = [2 * targets * predictions, targets + predictions]
    return _of_sums(columns, ratio, groups, patients)


def sensitivity_statistic(targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    """Share of the positives that are called positive."""
    return _of_sums([targets * predictions, targets], ratio, groups, patients)


def specificity_statistic(targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    """Share of the negatives that are called negative."""
    return _of_sums([(1 - targets) * (1 - predictions), 1 - targets], ratio, groups, patients)


def ece_statistic(targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    """Mean distance of probability and frequency over bins of probability, each bin by its rows."""
    where = np.minimum((predictions * BINS).astype(np.int64), BINS - 1)
    columns = [(where == i) * (predictions - targets) for i in np.unique(where)]

    def finish(n: Array, *off: Array) -> Array:
        return ratio(np.abs(np.stack(off)).sum(0), n)

    return _of_sums([np.ones_like(targets), *columns], finish, groups, patients)


def _mean(values: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    return _of_sums([values, np.ones_like(values)], ratio, groups, patients)


def _of_sums(
    columns: Sequence[Array], finish: Callable[..., Array], groups: NDArray[np.int64], patients: int
) -> Statistic:
    sums = np.stack([np.bincount(groups, column, minlength=patients) for column in columns])
    return lambda times: finish(*(sums @ times))


def _scatter(n: Array, sa: Array, sb: Array, sab: Array, saa: Array, sbb: Array) -> Array:
    """Sum of (a - mean a)(b - mean b) from sums; what rounding leaves of a constant counts as zero."""
    sums = sab - ratio(sa * sb, n)
    return np.where(np.abs(sums) <= 1e-12 * np.sqrt(saa * sbb), 0.0, sums)
