"""Does a frozen feature tell a finding from its absence? AUROC on the test split, with an interval by patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from raddino_probes._bootstrap import bootstrap_by_patient
from raddino_probes._errors import ProbeError
from raddino_probes._interval import Interval
from raddino_probes._knn import fit_knn
from raddino_probes._linear import fit_linear
from raddino_probes._metrics import check_pair
from raddino_probes._split import Split, check_no_leakage

Method = Literal["linear", "knn"]

FEWEST = 10
"""Fewer test rows than this of either class, and no number is given: its interval would span most of 0..1."""


@dataclass(frozen=True, eq=False)
class Score:
    """A binary probe's result. Where `estimable` is False the numbers are NaN and `reason` says why."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    """Test rows with a known target."""
    positives: int
    """Of which positive."""
    choice: dict[str, float | int | str]
    """What was chosen on the validation split, and its value there."""
    predictions: NDArray[np.float64]
    """(N,) one per test row, known or not: log odds (linear) or positive share (knn); NaN where not estimable."""
    estimable: bool = True
    reason: str = ""

    @property
    def interval(self) -> Interval:
        """Value, low and high together."""
        return Interval(self.value, self.low, self.high)


def probe_binary(
    train: Split,
    val: Split,
    test: Split,
    *,
    method: Method = "linear",
    replicates: int = 1000,
    seed: int = 0,
) -> Score:
    """AUROC of a probe on frozen features.

    "linear" standardises features by the training rows and fits logistic regressions of six strengths; "knn" weighs
    the nearest training rows by cosine. What is best on val is used; the model is fitted to train alone, val is not
    added afterwards, and test is read once.

    Args:
        train: targets 0, 1, NaN for unknown (those rows are left out), as in val and test.
        val: chooses the strength or the number of neighbours.
        test: gives the score.
        method: "linear" or "knn".
        replicates: of the bootstrap by patient (95 % interval).
        seed: of the bootstrap.

    Returns:
        A Score; not estimable, rather than a number by chance, where train or val lacks a class or test has fewer
        than 10 rows of either.

    Raises:
        ProbeError: a patient in two splits, features of different lengths, other targets, an unknown method.
    """
    if method not in get_args(Method):
        raise ProbeError(f"method: expected one of {', '.join(get_args(Method))}, got {method!r}")
    check_no_leakage(train, val, test)
    counts = {name: _classes(split) for name, split in (("train", train), ("val", val), ("test", test))}
    negatives, positives = counts["test"]
    n = negatives + positives
    reason = _obstacle(counts)
    if reason:
        nan, nothing = np.nan, np.full(len(test), np.nan)
        return Score("auroc", nan, nan, nan, n, positives, {"method": method}, nothing, False, reason)
    fit = fit_linear if method == "linear" else fit_knn
    choice, predictions = fit(train.known(), val.known(), test.features)
    at = bootstrap_by_patient("auroc", test.targets, predictions, test.patients, replicates=replicates, seed=seed)
    return Score(
        "auroc",
        at.value,
        at.low,
        at.high,
        n,
        positives,
        {"method": method, **choice},
        predictions,
    )


def _classes(split: Split) -> tuple[int, int]:
    """Known negatives and positives."""
    known = split.targets[~np.isnan(split.targets)]
    if known.size:
        check_pair(known, known, binary=True)
    return int((known == 0).sum()), int((known == 1).sum())


def _obstacle(counts: dict[str, tuple[int, int]]) -> str:
    for name in ("train", "val"):
        for count, kind in zip(counts[name], ("negatives", "positives"), strict=True):
            if count == 0:
                return f"no {kind} in {name}"
    for count, kind in zip(counts["test"], ("negatives", "positives"), strict=True):
        if count < FEWEST:
            return f"{count} {kind} in test, at least {FEWEST} needed"
    return ""
