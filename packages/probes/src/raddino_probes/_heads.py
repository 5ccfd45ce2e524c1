"""Many logistic heads on the same features, trained together: every label with every penalty shares each pass.

The problems are convex, so what is found is what a solver of one head after the other finds. Missing targets weigh
nothing in the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression

from raddino_probes._errors import ProbeError
from raddino_probes._lbfgs import minimise
from raddino_probes._metrics import check_binary
from raddino_probes._resample import Array

STRENGTHS = tuple(float(c) for c in np.logspace(-5, 1, 13))
"""Inverse L2 penalties C tried, strongest penalty first."""

_BLOCK = 16_000_000  # rows x heads trained at a time: 128 MB, of which a few live at once


@dataclass(frozen=True, eq=False)
class Heads:
    """Linear heads for L labels, each at P strengths."""

    weights: Array
    """(D, L, P)."""
    biases: Array
    """(L, P)."""

    def log_odds(self, features: Array) -> Array:
        """(N, L, P) of features (N, D), by one product."""
        flat = self.weights.reshape(len(self.weights), -1)
        return (features @ flat).reshape(-1, *self.biases.shape) + self.biases


def fit_heads(features: ArrayLike, targets: ArrayLike, strengths: Sequence[float] = STRENGTHS) -> Heads:
    """L2-penalised logistic regressions of every label at every strength, in one pass for all.

    Minimises C * (sum over known rows of the cross-entropy) + |w|^2 / 2 for each, the bias without penalty, as
    scikit-learn's `LogisticRegression` does one at a time.

    Args:
        features: (N, D), standardised or at least centred (`standardise` does both).
        targets: (N, L) of 0 and 1, NaN where unknown.
        strengths: P inverse penalties C, above 0.

    Raises:
        ProbeError: shapes that don't fit, other targets, a label without both classes, no convergence.
    """
    x, y = _checked(features, targets, strengths)
    z, squares, basis = _principal(x)
    penalties = 1 / np.asarray(strengths, np.float64)
    block = max(_BLOCK // (len(x) * len(penalties)), 1)
    parts = [minimise(z, squares, y[:, i : i + block], penalties) for i in range(0, y.shape[1], block)]
    found = np.concatenate(parts, axis=1)
    shape = (y.shape[1], len(penalties))
    return Heads((basis @ found[:-1]).reshape(-1, *shape), found[-1].reshape(shape))


def fit_heads_singly(features: ArrayLike, targets: ArrayLike, strengths: Sequence[float] = STRENGTHS) -> Heads:
    """`fit_heads` by scikit-learn, one label and strength after the other: the reference, to its tolerance."""
    x, y = _checked(features, targets, strengths)
    heads = Heads(np.empty((x.shape[1], y.shape[1], len(strengths))), np.empty((y.shape[1], len(strengths))))
    for label in range(y.shape[1]):
        known = ~np.isnan(y[:, label])
        # Each fit starts from the one before: with weak penalties that halves the steps.
        model = LogisticRegression(max_iter=10_000, warm_start=True)
        for i, strength in enumerate(strengths):
            model.set_params(C=strength).fit(x[known], y[known, label])
            heads.weights[:, label, i], heads.biases[label, i] = model.coef_[0], model.intercept_[0]
    return heads


def _checked(features: ArrayLike, targets: ArrayLike, strengths: Sequence[float]) -> tuple[Array, Array]:
    x, y = np.asarray(features, np.float64), np.asarray(targets, np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ProbeError(f"expected features (N, D) and targets (N, L), got {x.shape} and {y.shape}")
    check_binary(y)
    if not len(strengths) or min(strengths) <= 0:
        raise ProbeError(f"strengths: expected one or more numbers above 0, got {tuple(strengths)}")
    bad = [i for i, column in enumerate(y.T) if np.unique(column[~np.isnan(column)]).size < 2]
    if bad:
        raise ProbeError(f"targets: expected both classes in each column, got one or none in columns {bad}")
    return x, y


def _principal(x: Array) -> tuple[Array, Array, Array]:
    """Rows in their principal axes and a column of ones (N, r + 1), sums of squares (r,), and the axes (D, r).

    A penalised head lies in the span of the rows, so r need not exceed N.
    """
    if x.shape[1] > len(x):
        basis, triangle = scipy.linalg.qr(x.T, mode="economic")
        z, squares, axes = _principal(np.asarray(triangle.T, np.float64))
        return z, squares, np.asarray(basis @ axes, np.float64)
    squares, axes = np.linalg.eigh(x.T @ x)
    z = np.ones((len(x), x.shape[1] + 1))
    np.matmul(x, axes, out=z[:, :-1])
    return z, np.maximum(squares, 0), axes
