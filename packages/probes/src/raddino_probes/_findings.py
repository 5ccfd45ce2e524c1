"""Which findings can be read from frozen features? Every metric of every finding on test, by patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from raddino_probes._errors import ProbeError
from raddino_probes._head import Head
from raddino_probes._heads import fit_heads, fit_heads_singly
from raddino_probes._knn import fit_knn
from raddino_probes._linear import Choice, Fitted, fit_linear
from raddino_probes._metrics import named
from raddino_probes._resample import Array, Kind
from raddino_probes._result import Result, too_few
from raddino_probes._score import score_findings
from raddino_probes._split import Findings, Inputs, check_no_leakage
from raddino_probes._thresholds import threshold_for_f1, threshold_for_specificity

Method = Literal["linear", "knn", "logistic"]


@dataclass(frozen=True, eq=False)
class FindingsProbe:
    """Models of L findings, what they say of the test rows, and how well."""

    results: list[Result]
    """By metric: each finding, then "macro"."""
    predictions: dict[str, Array]
    """By metric, (N, L) of what it takes; "auroc" holds log odds, or positive shares (knn). NaN
    where a finding isn't estimable."""
    choices: list[Choice]
    """By finding: what was chosen on the validation split, and its AUROC there; empty where not estimable."""
    heads: list[Head | None]
    """By finding: the model; None for neighbours."""
    reasons: list[str]
    """By finding: why train, val or test don't tell, or ""."""


def probe_findings(
    train: Findings,
    val: Findings,
    test: Findings,
    *,
    method: Method = "linear",
    metrics: Sequence[str] = ("auroc", "average_precision"),
    specificity: float = 0.9,
    replicates: int = 1000,
    seed: int = 0,
    kind: Kind = "percentile",
) -> FindingsProbe:
    """Probe all findings at once; features, strength or neighbours, and thresholds are chosen on val for each finding.

    "linear" fits logistic heads of 13 strengths for all findings and choices of features in one pass; "logistic" is
    the same by scikit-learn one after the other, for reference; "knn" weighs the nearest training rows by cosine.
    Models are fitted to train alone, val is not added afterwards, and test is read once.

    Args:
        train: missing targets are NaN and left out, finding by finding, as in val and test.
        val: chooses.
        test: gives the scores.
        method: "linear", "knn" or "logistic".
        metrics: of "auroc", "average_precision", "f1", "sensitivity", "specificity", "brier", "ece".
        specificity: that the threshold of "sensitivity" and "specificity" has on val; that of "f1" is the best there.
        replicates: of the bootstrap by patient (95 % intervals).
        seed: of the bootstrap.
        kind: of the intervals, "percentile" or "bca".

    Returns:
        A FindingsProbe; a finding is not estimable where train or val lacks a class or test has fewer than 10 rows of
        either.

    Raises:
        ProbeError: a patient in two splits, features or findings that differ between splits, an unknown method or
            metric.
    """
    if method not in get_args(Method):
        raise ProbeError(f"method: expected one of {', '.join(get_args(Method))}, got {method!r}")
    return measured(
        train, val, test, lambda alive: _fit(_columns(train, alive), _columns(val, alive), test, method),
        method=method, metrics=metrics, specificity=specificity, replicates=replicates, seed=seed, kind=kind,
    )  # fmt: skip


def measured(
    train: Findings | Inputs,
    val: Findings | Inputs,
    test: Findings | Inputs,
    fit: Callable[[list[int]], Fitted],
    *,
    method: str,
    metrics: Sequence[str],
    specificity: float,
    replicates: int,
    seed: int,
    kind: Kind,
) -> FindingsProbe:
    """Whatever `fit` makes of the findings that can be told, given by their places, as a FindingsProbe."""
    for metric in metrics:
        if not named(metric).binary:
            raise ProbeError(f"metrics: expected metrics of findings, got {metric!r}; use probe_continuous for numbers")
    check_no_leakage(train, val, test)
    reasons = [obstacle(*(split.targets[:, i] for split in (train, val, test))) for i in range(len(train.names))]
    alive = [i for i, reason in enumerate(reasons) if not reason]
    choices: list[Choice] = [{} for _ in reasons]
    heads: list[Head | None] = [None] * len(reasons)
    predictions = {metric: np.full(test.targets.shape, np.nan) for metric in ("auroc", *metrics)}
    if alive:
        fitted = fit(alive)
        for place, i in enumerate(alive):
            choices[i], heads[i] = fitted.choices[place], fitted.heads[place]
            known = ~np.isnan(val.targets[:, i])
            on_val = val.targets[known, i], fitted.val[known, place]
            for metric, column in predictions.items():
                column[:, i] = _as_taken(metric, fitted.test[:, place], *on_val, method, specificity)
    results = score_findings(
        {metric: predictions[metric] for metric in metrics}, test.targets, test.patients, test.names,
        reasons=reasons, method=method, replicates=replicates, seed=seed, kind=kind,
    )  # fmt: skip
    return FindingsProbe(results, predictions, choices, heads, reasons)


def _fit(train: Findings, val: Findings, test: Findings, method: Method) -> Fitted:
    if method == "knn":
        return fit_knn(train, val, test.features)
    return fit_linear(train, val, test.features, fit_heads if method == "linear" else fit_heads_singly)


def _as_taken(metric: str, scores: Array, targets: Array, on_val: Array, method: str, specificity: float) -> Array:
    """Scores of test as what the metric takes, by targets and scores of val."""
    takes = named(metric).takes
    if takes == "probability" and method != "knn":
        return expit(scores)
    if takes == "decision":
        f1 = metric == "f1"
        at = threshold_for_f1(targets, on_val) if f1 else threshold_for_specificity(targets, on_val, specificity)
        return (scores >= at).astype(np.float64)
    return scores


def _columns(split: Findings, which: list[int]) -> Findings:
    return Findings(split.features, split.targets[:, which], split.patients, tuple(split.names[i] for i in which))


def obstacle(train: NDArray[np.float64], val: NDArray[np.float64], test: NDArray[np.float64]) -> str:
    for name, targets in (("train", train), ("val", val)):
        for kind, value in (("negatives", 0), ("positives", 1)):
            if not (targets == value).any():
                return f"no {kind} in {name}"
    return too_few(test, binary=True)
