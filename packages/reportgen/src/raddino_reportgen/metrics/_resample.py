"""Metrics of a corpus as a function of sums over its pairs, and their intervals over resampled patients.

What is resampled are the sums, so that no text is scored twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A metric over `n` pairs with its 95 % interval over patients; NaN ends for a single patient."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Statistic:
    """A metric: `rows` (N, K) of each pair, and what their sums (R, K) over R sets of pairs give: (R,)."""

    rows: Rows
    combine: Callable[[Rows], Rows]


def ratio(numerator: Rows, denominator: Rows | None = None) -> Statistic:
    """A sum over a sum, such as a mean (no denominator); NaN where the denominator is none."""
    below = np.ones(len(numerator)) if denominator is None else denominator
    return Statistic(np.stack([numerator, below], axis=1), lambda sums: divide(sums[:, 0], sums[:, 1]))


def divide(a: Rows, b: Rows) -> Rows:
    """A / b, NaN where b is 0."""
    out: Rows = np.full(np.broadcast(a, b).shape, np.nan)
    np.divide(a, b, out=out, where=b != 0)
    return out


def score(
    statistics: Mapping[str, Statistic],
    patients: Sequence[str] | None,
    *,
    replicates: int,
    seed: int,
    minus: Mapping[str, Statistic] | None = None,
) -> dict[str, Score]:
    """Each statistic with its percentile interval; with `minus`, its paired difference from the statistic there."""
    count = len(next(iter(statistics.values())).rows)
    groups, people = _groups(patients, count)
    draws = None
    if people > 1:
        draws = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=replicates)
    return {name: _interval(s, minus[name] if minus else None, groups, people, draws) for name, s in statistics.items()}


def _interval(
    statistic: Statistic,
    minus: Statistic | None,
    groups: NDArray[np.intp],
    people: int,
    draws: NDArray[np.int64] | None,
) -> Score:
    def at(each: Statistic) -> tuple[float, Rows]:
        sums = np.zeros((people, each.rows.shape[1]))
        np.add.at(sums, groups, each.rows)
        whole = each.combine(sums.sum(axis=0, keepdims=True))[0]
        return float(whole), each.combine(draws @ sums) if draws is not None else np.array([np.nan])

    value, drawn = at(statistic)
    if minus is not None:
        other, others = at(minus)
        value, drawn = value - other, drawn - others
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, (2.5, 97.5)) if len(known) > 1 else (np.nan, np.nan)
    return Score(value, float(low), float(high), len(statistic.rows))


def _groups(patients: Sequence[str] | None, count: int) -> tuple[NDArray[np.intp], int]:
    if patients is None:
        return np.arange(count), count
    if len(patients) != count:
        raise ReportError(f"expected a patient for each of {count} reports, got {len(patients)}")
    found, groups = np.unique(np.asarray(patients), return_inverse=True)
    return groups, len(found)
