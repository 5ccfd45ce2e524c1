"""Dice per image, and its mean with a bootstrap interval over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raddino_seg._errors import SegError

Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Score:
    """A mean over `n` images with its 95 % interval; `low` and `high` are NaN for a single patient."""

    value: float
    low: float
    high: float
    n: int


def dice(prediction: Labels, truth: Labels, value: int) -> NDArray[np.float64]:
    """Dice (N,) of the pixels of one value in label maps (N, H, W).

    An image that has the class in neither map is NaN: there is nothing to overlap, and 1 would flatter.
    """
    if prediction.shape != truth.shape or prediction.ndim != 3:
        raise SegError(f"expected two label maps (N, H, W) of one shape, got {prediction.shape} and {truth.shape}")
    a, b = prediction == value, truth == value
    both, size = (a & b).sum(axis=(1, 2)), a.sum(axis=(1, 2)) + b.sum(axis=(1, 2))
    return np.asarray(np.divide(2.0 * both, size, out=np.full(len(a), np.nan), where=size > 0))


def evaluate(
    prediction: Labels,
    truth: Labels,
    *,
    classes: Sequence[str],
    patients: Sequence[str] | NDArray[np.str_],
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, Score]:
    """Mean Dice of each class and of their `mean`, each with a percentile interval over resampled patients."""
    if len(patients) != len(prediction):
        raise SegError(f"expected a patient for each of {len(prediction)} images, got {len(patients)}")
    each = {name: dice(prediction, truth, k) for k, name in enumerate(classes, 1)}
    table = np.stack(list(each.values()))
    known = ~np.isnan(table)
    counts = known.sum(axis=0)
    each["mean"] = np.divide(np.nansum(table, axis=0), counts, out=np.full(len(counts), np.nan), where=counts > 0)
    _, groups = np.unique(np.asarray(patients), return_inverse=True)
    return {name: _score(values, groups, replicates, seed) for name, values in each.items()}


def mean_mask(masks: Labels) -> NDArray[np.uint8]:
    """The commonest value (H, W) at each pixel of label maps (N, H, W): what a model that sees nothing would say."""
    votes = np.stack([(masks == value).sum(axis=0) for value in range(int(masks.max()) + 1)])
    return np.asarray(votes.argmax(axis=0), dtype=np.uint8)


def _score(values: NDArray[np.float64], groups: NDArray[np.intp], replicates: int, seed: int) -> Score:
    known = ~np.isnan(values)
    if not known.any():
        return Score(float("nan"), float("nan"), float("nan"), 0)
    count = int(groups.max()) + 1
    totals = np.bincount(groups[known], values[known], count)
    sizes = np.bincount(groups[known], minlength=count)
    value = float(totals.sum() / sizes.sum())
    if (sizes > 0).sum() < 2:
        return Score(value, float("nan"), float("nan"), int(known.sum()))
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    seen = draws @ sizes
    means = (draws @ totals)[seen > 0] / seen[seen > 0]
    low, high = np.percentile(means, (2.5, 97.5))
    return Score(value, float(low), float(high), int(known.sum()))
