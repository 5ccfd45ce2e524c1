"""Means of a metric over images, with a bootstrap interval over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raddino_seg._errors import SegError
from raddino_seg._masks import Masks
from raddino_seg._measure import measure
from raddino_seg._surface import Spacing

Patients = Sequence[str] | NDArray[np.str_]


@dataclass(frozen=True)
class Score:
    """A mean over `n` images with its 95 % interval; `low` and `high` are NaN for a single patient."""

    value: float
    low: float
    high: float
    n: int


def evaluate(
    prediction: Masks,
    truth: Masks,
    *,
    classes: Sequence[str],
    patients: Patients,
    metrics: Sequence[str] = ("dice",),
    spacing: Sequence[Spacing | None] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Score]]:
    """By metric and class its mean over images, each with a percentile interval over resampled patients.

    "mean" is the mean of each image's classes. An image is not counted where there is nothing to measure: for overlap
    and distances where neither prediction nor truth has the class, for sensitivity where the truth has none. Other
    arguments and errors as for `measure`.
    """
    return {
        metric: summarise(
            measure(metric, prediction, truth, classes, spacing), classes, patients, replicates=replicates, seed=seed
        )
        for metric in metrics
    }


def summarise(
    values: NDArray[np.float64], classes: Sequence[str], patients: Patients, *, replicates: int = 1000, seed: int = 0
) -> dict[str, Score]:
    """Scores of what `measure` gave (N, C): each class, and their "mean".

    With draws before (draws, N, C), as of repeated fits on few images, values are means over draws, and the intervals
    are over resampled draws as well as patients.

    Raises:
        SegError: another number of patients than images.
    """
    table = values[None] if values.ndim == 2 else values
    if len(patients) != table.shape[1]:
        raise SegError(f"expected a patient for each of {table.shape[1]} images, got {len(patients)}")
    _, groups = np.unique(np.asarray(patients), return_inverse=True)
    columns = {name: table[..., k] for k, name in enumerate(classes)}
    known = ~np.isnan(table)
    columns["mean"] = _divide(np.where(known, table, 0).sum(-1), known.sum(-1))
    return {name: _score(column, groups, replicates, seed) for name, column in columns.items()}


def _score(values: NDArray[np.float64], groups: NDArray[np.intp], replicates: int, seed: int) -> Score:
    """Of values (draws, N)."""
    known = ~np.isnan(values)
    if not known.any():
        return Score(float("nan"), float("nan"), float("nan"), 0)
    draws, count = len(values), int(groups.max()) + 1
    totals, sizes = np.zeros((draws, count)), np.zeros((draws, count))
    for draw in range(draws):
        totals[draw] = np.bincount(groups[known[draw]], values[draw][known[draw]], count)
        sizes[draw] = np.bincount(groups[known[draw]], minlength=count)
    value, n = float(totals.sum() / sizes.sum()), int(known.any(axis=0).sum())
    if (sizes.sum(axis=0) > 0).sum() < 2:
        return Score(value, float("nan"), float("nan"), n)
    rng = np.random.default_rng(seed)
    who = rng.multinomial(count, np.full(count, 1 / count), size=replicates)
    which = rng.multinomial(draws, np.full(draws, 1 / draws), size=replicates)
    sums, seen = ((which @ part * who).sum(axis=1) for part in (totals, sizes))
    low, high = np.percentile(sums[seen > 0] / seen[seen > 0], (2.5, 97.5))
    return Score(value, float(low), float(high), n)


def _divide(part: NDArray[np.float64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))
