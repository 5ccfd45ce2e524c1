"""A metric with its confidence interval by patient, and the difference of two models with theirs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_probes._errors import ProbeError
from raddino_probes._interval import Interval
from raddino_probes._metrics import auroc, average_precision, check_pair, named
from raddino_probes._resample import Array, Kind, Statistic, resample

Metric = str | Callable[[Array, Array], float]
"""A name that `measure` knows (fast), or any function of targets and predictions (called once per replicate)."""


def bootstrap_by_patient(
    metric: Metric,
    targets: ArrayLike,
    predictions: ArrayLike,
    patients: ArrayLike,
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    kind: Kind = "percentile",
) -> Interval:
    """A metric with its interval over resampled patients.

    A replicate draws as many patients as there are, with replacement; all rows of a patient come as often as the
    patient was drawn. Replicates in which the metric is undefined (AUROC of one class) are left out of the
    percentiles; the interval is NaN where more than half are.

    Args:
        metric: a name, or `f(targets, predictions) -> float`.
        targets: (N,); rows with NaN are left out.
        predictions: (N,); or (S, N) of S seeds, whose mean metric is what is then reported.
        patients: (N,) identifiers.
        replicates: how many.
        seed: of the resampling; the same patients and seed give the same replicates for every metric and model.
        level: of the interval, between 0 and 1.
        kind: "percentile", or "bca", corrected for bias and skewness (one more pass without each patient).

    Raises:
        ProbeError: an unknown metric or kind, lengths that differ, NaN predictions, fewer than two patients, numbers
            out of range.
    """
    models = np.atleast_2d(np.asarray(predictions, np.float64))
    statistics, count = build([(metric, targets, model) for model in models], patients)
    draws = resample(statistics, count, replicates=replicates, seed=seed, level=level, kind=kind)
    return draws.interval(lambda values: values.mean(0))


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
    kind: Kind = "percentile",
) -> Interval:
    """The metric of predictions `a` minus that of `b` on the same rows, each replicate the same for both.

    Arguments and errors as for `bootstrap_by_patient`. An interval that leaves out zero is a difference at `level`.
    """
    statistics, count = build([(metric, targets, a), (metric, targets, b)], patients)
    draws = resample(statistics, count, replicates=replicates, seed=seed, level=level, kind=kind)
    return draws.interval(lambda values: values[0] - values[1])


def build(wanted: list[tuple[Metric, ArrayLike, ArrayLike]], patients: ArrayLike) -> tuple[list[Statistic], int]:
    """Statistics over the patients that have any known target, and how many patients those are.

    Each of `wanted` is a metric, targets (N,) and predictions (N,); rows with NaN targets are left out.

    Raises:
        ProbeError: as `bootstrap_by_patient`.
    """
    who = np.asarray(patients)
    known = []
    for _, targets, predictions in wanted:
        t, p = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
        if not (t.shape == p.shape == who.shape):
            raise ProbeError(
                f"expected equal lengths, got targets {t.shape}, predictions {p.shape}, patients {who.shape}"
            )
        known.append(~np.isnan(t))
    seen = np.any(known, axis=0)
    groups = np.zeros(len(who), np.int64)
    names, groups[seen] = np.unique(who[seen], return_inverse=True)
    statistics = []
    for (metric, targets, predictions), keep in zip(wanted, known, strict=True):
        t, p = np.asarray(targets, np.float64)[keep], np.asarray(predictions, np.float64)[keep]
        statistics.append(_statistic(metric, t, p, groups[keep], len(names)))
    return statistics, len(names)


def _statistic(metric: Metric, t: Array, p: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    name = _NAMES.get(metric, metric)
    if not callable(name):
        t, p = check_pair(t, p, named(name).takes)
        return named(name).build(t, p, groups, patients)
    function = name
    t, p = check_pair(t, p, "number")

    def loop(times: Array) -> Array:
        rows = (np.repeat(np.arange(len(t)), w) for w in times.astype(np.int64)[groups].T)
        return np.array([function(t[i], p[i]) for i in rows], np.float64)

    return loop


_NAMES: dict[object, Metric] = {auroc: "auroc", average_precision: "average_precision"}
"""The fast metrics by the function of the same meaning."""
