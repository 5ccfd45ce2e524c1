"""AUROC and average precision for many resamples of patients: sorted once, counted for each resample.

Only predictions that some positive has ("steps") change either metric; what lies between two steps is counted
together. Each step's counts are a sparse sum over patients, so a block of resamples is a sparse product and a
cumulative sum over the steps. Tied predictions are one step, and so are exact.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from raddino_probes._resample import Array, Statistic, ratio


def auroc_statistic(targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int) -> Statistic:
    """The chance that a positive is ranked above a negative, ties counting half."""
    positives, negatives, ties = _steps(targets, predictions, groups, patients)
    everyone = np.bincount(groups[targets == 0], minlength=patients).astype(np.float64)

    def statistic(times: Array) -> Array:
        up, n0 = positives @ times, everyone @ times
        above = _accumulate(negatives @ times)
        losses = np.einsum("ij,ij->j", up, above)
        if ties.nnz:
            losses -= 0.5 * np.einsum("ij,ij->j", up, ties @ times)
        return ratio(up.sum(0) * n0 - losses, up.sum(0) * n0)

    return statistic


def average_precision_statistic(
    targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int
) -> Statistic:
    """The area under the precision-recall curve as a sum of steps."""
    positives, negatives, _ = _steps(targets, predictions, groups, patients)

    def statistic(times: Array) -> Array:
        up = positives @ times
        true = _accumulate(up.copy())
        taken = _accumulate(negatives @ times)
        taken += true
        np.maximum(taken, 1, out=taken)  # nothing taken, nothing true: 0 / 1
        return ratio(np.einsum("ij,ij->j", up, np.divide(true, taken, out=taken)), true[-1])

    return statistic


def _steps(
    targets: Array, predictions: Array, groups: NDArray[np.int64], patients: int
) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array, scipy.sparse.csr_array]:
    """Rows of each patient (K, P) at each step from high to low: positives, negatives since the last step, ties.

    Negatives below the last step are left out; those tied with a step belong to it.
    """
    true = targets == 1
    levels = -np.unique(-predictions[true])
    # The first step whose prediction is at most the row's own.
    step = np.searchsorted(-levels, -predictions)
    within = step < len(levels)
    tied = np.zeros(len(step), bool)
    tied[within] = levels[step[within]] == predictions[within]

    def count(rows: NDArray[np.bool_]) -> scipy.sparse.csr_array:
        entries = np.ones(rows.sum()), (step[rows], groups[rows])
        return scipy.sparse.csr_array(entries, shape=(max(len(levels), 1), patients))

    return count(true), count(~true & within), count(~true & tied)


def _accumulate(counts: Array) -> Array:
    """Sums down the rows of (K, R), in place: numpy's own cumulative sum visits memory column by column."""
    side = max(int(len(counts) ** 0.5), 1)
    whole = len(counts) // side * side
    pieces = counts[:whole].reshape(-1, side, counts.shape[1])
    for i in range(1, side):
        pieces[:, i] += pieces[:, i - 1]
    for i in range(1, len(pieces)):
        pieces[i] += pieces[i - 1, -1]
    for i in range(whole, len(counts)):
        counts[i] += counts[i - 1]
    return counts
