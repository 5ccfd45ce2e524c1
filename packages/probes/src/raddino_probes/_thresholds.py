"""From scores to decisions and choices: what is taken from the validation split, and never from test."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from raddino_probes._metrics import check_pair
from raddino_probes._resample import Array


def threshold_for_f1(targets: ArrayLike, scores: ArrayLike) -> float:
    """The score from which on to call a row positive so that F1 is greatest on these rows; ties go to the highest.

    Args:
        targets: (N,) of 0 and 1, with a positive.
        scores: (N,).

    Raises:
        ProbeError: as `measure`.
    """
    t, s = check_pair(targets, scores, "score")
    levels, true, false = _counts(t, s)
    return float(levels[np.argmax(2 * true / (true + false + t.sum()))])


def threshold_for_specificity(targets: ArrayLike, scores: ArrayLike, specificity: float = 0.9) -> float:
    """The lowest score from which on to call a row positive so that at least this share of negatives is not called.

    Infinity where no score of these rows will do. Arguments and errors as for `threshold_for_f1`.
    """
    t, s = check_pair(targets, scores, "score")
    levels, _, false = _counts(t, s)
    allowed = levels[false <= (1 - specificity) * (t == 0).sum() + 1e-9]
    return float(allowed[-1]) if allowed.size else float("inf")


def auroc_of_columns(targets: Array, scores: Array) -> Array:
    """AUROC of each column of scores (N, K) against targets (N,) of 0 and 1, both present."""
    ranks = rankdata(scores, axis=0)
    n1, n0 = (targets == 1).sum(), (targets == 0).sum()
    area: Array = (ranks[targets == 1].sum(0) - n1 * (n1 + 1) / 2) / (n1 * n0)
    return area


def _counts(t: Array, s: Array) -> tuple[Array, Array, Array]:
    """Distinct scores from high to low, and how many positives and negatives are at or above each."""
    levels, where = np.unique(-s, return_inverse=True)
    positives, everything = np.bincount(where, t), np.bincount(where)
    return -levels, np.cumsum(positives), np.cumsum(everything - positives)
