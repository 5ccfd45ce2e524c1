"""Logistic regression on standardised features; its strength is chosen on the validation split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from raddino_probes._metrics import auroc
from raddino_probes._split import Split
from raddino_probes._standardise import standardise

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1)
"""Inverse L2 penalties C tried, strongest penalty first."""


def fit_linear(
    train: Split, val: Split, features: NDArray[np.float64]
) -> tuple[dict[str, float | int | str], NDArray[np.float64]]:
    """Log odds (M,) of `features` (M, D), by the model fitted to train alone whose C has the best AUROC on val.

    Both splits hold both classes and no NaN. Ties go to the stronger penalty.
    """
    x, (x_val, x_test) = standardise(train.features, val.features, features)
    # Each fit starts from the one before: with weak penalties that halves the steps.
    model = LogisticRegression(C=STRENGTHS[0], max_iter=10_000, warm_start=True)
    best, chosen, odds = -np.inf, STRENGTHS[0], np.zeros(len(features))
    for strength in STRENGTHS:
        model.set_params(C=strength).fit(x, train.targets)
        value = auroc(val.targets, model.decision_function(x_val))
        if value > best:
            best, chosen, odds = value, strength, model.decision_function(x_test)
    return {"C": chosen, "val_auroc": best}, odds
