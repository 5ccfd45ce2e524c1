"""Linear heads on standardised features: features and strength are chosen on the validation split, per finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from raddino_probes._head import Head, LinearHead
from raddino_probes._heads import STRENGTHS, Heads
from raddino_probes._resample import Array
from raddino_probes._split import Findings
from raddino_probes._standardise import moments
from raddino_probes._thresholds import auroc_of_columns

Solver = Callable[[ArrayLike, ArrayLike, Sequence[float]], Heads]
Choice = dict[str, float | int | str]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Models of L findings that can be told from train and val."""

    choices: list[Choice]
    """What was chosen on val for each, and its AUROC there."""
    val: Array
    """(N_val, L) scores of the chosen models."""
    test: Array
    """(N_test, L)."""
    heads: list[Head | None]
    """The chosen models; None for neighbours."""


def fit_linear(
    train: Findings,
    val: Findings,
    features: Mapping[str, Array],
    solver: Solver,
    strengths: Sequence[float] = STRENGTHS,
) -> Fitted:
    """Log odds of the model, fitted to train alone, whose features and C have the best AUROC on val.

    Every column of train and val holds both classes; rows of train without any target are left out.
    Ties go to the first features and the strongest penalty.
    """
    count = len(train.names)
    best, picked = np.full(count, -np.inf), np.zeros(count, int)
    odds, heads = np.empty((len(val), count)), [LinearHead("", np.empty(0), 0, np.empty(0), np.empty(0))] * count
    told = ~np.isnan(train.targets).all(axis=1)  # rows of no known target would only make the problem larger
    for name, matrix in train.features.items():
        mean, deviation = moments(matrix[told])
        fitted = solver((matrix[told] - mean) / deviation, train.targets[told], strengths)
        on_val = fitted.log_odds((val.features[name] - mean) / deviation)
        for i in range(count):
            known = ~np.isnan(val.targets[:, i])
            values = auroc_of_columns(val.targets[known, i], on_val[known, i])
            at = int(np.argmax(values))
            if values[at] > best[i]:
                best[i], picked[i], odds[:, i] = values[at], at, on_val[:, i, at]
                heads[i] = LinearHead(name, fitted.weights[:, i, at], float(fitted.biases[i, at]), mean, deviation)
    choices: list[Choice] = [
        {"features": head.features, "C": strengths[at], "val_auroc": float(value)}
        for head, at, value in zip(heads, picked, best, strict=True)
    ]
    test = np.stack([head.log_odds(features[head.features]) for head in heads], axis=1)
    return Fitted(choices, odds, test, list(heads))
