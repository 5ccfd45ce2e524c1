"""How well does a frozen feature tell a number (age, weight)? Ridge regression, errors with intervals by patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from raddino_probes._bootstrap import build
from raddino_probes._interval import Interval
from raddino_probes._metrics import measure
from raddino_probes._panel import UNKNOWN, pick
from raddino_probes._resample import Array, Kind, resample
from raddino_probes._result import Result, too_few
from raddino_probes._split import Split, check_no_leakage
from raddino_probes._standardise import standardise

PENALTIES = (1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1e0, 1e-1)
"""Ridge penalties tried on the sum of squares of standardised features, strongest first."""

_METRICS = ("mae", "r2", "pearson")


@dataclass(frozen=True, eq=False)
class RegressionScore:
    """A continuous probe's result. Where `estimable` is False the numbers are NaN and `reason` says why."""

    mae: Interval
    """Mean absolute error, in the unit of the targets."""
    r2: Interval
    """1 - residual / total sum of squares on test; negative where the test mean would do better."""
    pearson: Interval
    n: int
    """Test rows with a known target."""
    choice: dict[str, float | int | str]
    """The penalty chosen on the validation split, and R2 there."""
    predictions: NDArray[np.float64]
    """(N,) one per test row, known or not, in the unit of the targets; NaN where not estimable."""
    estimable: bool = True
    reason: str = ""

    def results(self, name: str) -> list[Result]:
        """The same as lines of a table, under the target's name."""
        intervals = zip(_METRICS, (self.mae, self.r2, self.pearson), strict=True)
        return [Result(name, metric, *at.numbers, self.n, None, "ridge", self.reason) for metric, at in intervals]


def probe_continuous(
    train: Split, val: Split, test: Split, *, replicates: int = 1000, seed: int = 0, kind: Kind = "percentile"
) -> RegressionScore:
    """MAE, R2 and Pearson's r of ridge regression on features standardised by the training rows.

    The penalty with the best R2 on val is used; the model is fitted to train alone and test is read once. One
    decomposition serves all penalties (Hastie et al. 2009, section 3.4.1).

    Args:
        train: targets in any unit, NaN for unknown (those rows are left out), as in val and test.
        val: chooses the penalty.
        test: gives the scores.
        replicates: of the bootstrap by patient (95 % intervals).
        seed: of the bootstrap.
        kind: of the intervals, "percentile" or "bca".

    Returns:
        A RegressionScore; not estimable where train or val has no two different targets, or test fewer than 10 known
        or all equal.

    Raises:
        ProbeError: a patient in two splits, features of different lengths.
    """
    check_no_leakage(train, val, test)
    n = int((~np.isnan(test.targets)).sum())
    reason = _obstacle(train, val, test)
    if reason:
        return RegressionScore(UNKNOWN, UNKNOWN, UNKNOWN, n, {}, np.full(len(test), np.nan), False, reason)
    choice, predictions = _fit(train.known(), val.known(), test.features)
    statistics, count = build([(metric, test.targets, predictions) for metric in _METRICS], test.patients)
    draws = resample(statistics, count, replicates=replicates, seed=seed, kind=kind)
    mae, r2, pearson = (draws.interval(pick(place)) for place in range(len(_METRICS)))
    return RegressionScore(mae, r2, pearson, n, choice, predictions)


def _fit(train: Split, val: Split, features: Array) -> tuple[dict[str, float | int | str], Array]:
    x, (x_val, x_test) = standardise(train.features, val.features, features)
    mean = train.targets.mean()
    # Of the two Gram matrices the smaller: (D, D) of the weights, or (N, N) of the rows.
    wide = x.shape[1] > len(x)
    squares, axes = scipy.linalg.eigh(x @ x.T if wide else x.T @ x)
    projected = axes.T @ (train.targets - mean if wide else x.T @ (train.targets - mean))
    best, chosen, weights = -np.inf, PENALTIES[0], np.zeros(x.shape[1])
    for penalty in PENALTIES:
        w = axes @ (projected / (np.maximum(squares, 0) + penalty))
        w = x.T @ w if wide else w
        value = measure("r2", val.targets, mean + x_val @ w)
        if value > best:
            best, chosen, weights = value, penalty, w
    return {"alpha": chosen, "val_r2": best}, mean + x_test @ weights


def _obstacle(train: Split, val: Split, test: Split) -> str:
    for name, split in (("train", train), ("val", val)):
        if np.unique(split.targets[~np.isnan(split.targets)]).size < 2:
            return f"no two different targets in {name}"
    return too_few(test.targets, binary=False)
