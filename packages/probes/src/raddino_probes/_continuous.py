"""How well does a frozen feature tell a number (age, BMI)? Ridge regression, errors with intervals by patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from raddino_probes._binary import FEWEST
from raddino_probes._bootstrap import bootstrap_by_patient
from raddino_probes._interval import Interval
from raddino_probes._metrics import weighted_r2
from raddino_probes._split import Split, check_no_leakage
from raddino_probes._standardise import standardise

PENALTIES = (1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1e0, 1e-1)
"""Ridge penalties tried on the sum of squares of standardised features, strongest first."""


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


def probe_continuous(
    train: Split, val: Split, test: Split, *, replicates: int = 1000, seed: int = 0
) -> RegressionScore:
    """MAE, R2 and Pearson's r of ridge regression on features standardised by the training rows.

    The penalty with the best R2 on val is used; the model is fitted to train alone and test is read once. One
    singular value decomposition serves all penalties (Hastie et al. 2009, section 3.4.1).

    Args:
        train: targets in any unit, NaN for unknown (those rows are left out), as in val and test.
        val: chooses the penalty.
        test: gives the scores.
        replicates: of the bootstrap by patient (95 % intervals).
        seed: of the bootstrap.

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
        none = Interval(np.nan, np.nan, np.nan)
        return RegressionScore(none, none, none, n, {}, np.full(len(test), np.nan), False, reason)
    choice, predictions = _fit(train.known(), val.known(), test.features)
    mae, r2, pearson = (
        bootstrap_by_patient(metric, test.targets, predictions, test.patients, replicates=replicates, seed=seed)
        for metric in ("mae", "r2", "pearson")
    )
    return RegressionScore(mae, r2, pearson, n, choice, predictions)


def _fit(
    train: Split, val: Split, features: NDArray[np.float64]
) -> tuple[dict[str, float | int | str], NDArray[np.float64]]:
    x, (x_val, x_test) = standardise(train.features, val.features, features)
    mean = train.targets.mean()
    u, s, vt = scipy.linalg.svd(x, full_matrices=False)
    projected = u.T @ (train.targets - mean)
    whole = np.ones((1, len(val)))
    best, chosen, weights = -np.inf, PENALTIES[0], np.zeros(x.shape[1])
    for penalty in PENALTIES:
        w = vt.T @ (s / (s**2 + penalty) * projected)
        value = float(weighted_r2(val.targets, mean + x_val @ w, whole)[0])
        if value > best:
            best, chosen, weights = value, penalty, w
    return {"alpha": chosen, "val_r2": best}, mean + x_test @ weights


def _obstacle(train: Split, val: Split, test: Split) -> str:
    for name, split in (("train", train), ("val", val), ("test", test)):
        known = split.targets[~np.isnan(split.targets)]
        if name == "test" and known.size < FEWEST:
            return f"{known.size} known targets in test, at least {FEWEST} needed"
        if np.unique(known).size < 2:
            return f"no two different targets in {name}"
    return ""
