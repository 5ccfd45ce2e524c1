"""Statistics under resampling of patients, because the images of one patient are not independent.

A replicate is a vector of multiplicities: how often each patient was drawn. A statistic maps a block of replicates
(P, R) to (R,); all statistics of one call see the same replicates, so that differences, means and gaps between them
are resampled jointly. Percentile and BCa intervals: Efron & Tibshirani 1993, chapters 13 and 14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from raddino_probes._errors import ProbeError
from raddino_probes._interval import Interval

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Multiplicities (P, R) to values (R,), NaN where undefined."""
Combination = Callable[[Array], Array]
"""Values of all statistics (S, R) to one value per replicate (R,)."""
Kind = Literal["percentile", "bca"]

_BLOCK = 500_000  # patients x replicates at a time: 4 MB, so that a block stays near the processor


@dataclass(frozen=True, eq=False)
class Draws:
    """S statistics on the data as they are, on R resamples of the patients and, for BCa, without each patient."""

    values: Array
    """(S,)."""
    draws: Array
    """(S, R)."""
    jackknife: Array
    """(S, P); (S, 0) where only percentiles are wanted."""
    level: float

    def interval(self, of: Combination) -> Interval:
        """A combination of the statistics with its interval.

        Replicates in which it is undefined (AUROC of one class) are left out; the interval is NaN where more than
        half are.
        """
        value = float(of(self.values[:, None])[0])
        drawn = of(self.draws)
        defined = drawn[np.isfinite(drawn)]
        if 2 * len(defined) < len(drawn) or not len(defined) or not np.isfinite(value):
            return Interval(value, np.nan, np.nan)
        tails = np.array([(1 - self.level) / 2, (1 + self.level) / 2])
        if self.jackknife.shape[1]:
            tails = _corrected(tails, value, defined, of(self.jackknife))
        low, high = np.quantile(defined, tails)
        return Interval(value, float(low), float(high))

    def p_value(self, of: Combination) -> float:
        """Two-sided, of the combination being zero: twice the smaller share of replicates on one side of it."""
        drawn = of(self.draws)
        defined = drawn[np.isfinite(drawn)]
        if 2 * len(defined) < len(drawn) or not len(defined):
            return float("nan")
        least = min((defined <= 0).sum(), (defined >= 0).sum())
        return float(min(2 * (least + 1) / (len(defined) + 1), 1.0))


def resample(
    statistics: Sequence[Statistic],
    patients: int,
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    kind: Kind = "percentile",
) -> Draws:
    """All statistics on the same resamples of 0..patients - 1; a function of (patients, replicates, seed).

    "bca" also computes each statistic once without every patient in turn.

    Raises:
        ProbeError: fewer than two patients, no replicate, a level outside 0..1, an unknown kind.
    """
    if patients < 2:
        raise ProbeError("expected at least two patients to resample, got one")
    if replicates < 1:
        raise ProbeError(f"replicates: expected 1 or more, got {replicates}")
    if not 0 < level < 1:
        raise ProbeError(f"level: expected a number between 0 and 1, got {level}")
    if kind not in get_args(Kind):
        raise ProbeError(f"kind: expected one of {', '.join(get_args(Kind))}, got {kind!r}")
    left_out = _left_out(patients) if kind == "bca" else ()
    return Draws(
        _apply(statistics, [np.ones((patients, 1))])[:, 0],
        _apply(statistics, multiplicities(patients, replicates, seed)),
        _apply(statistics, left_out),
        level,
    )


def multiplicities(patients: int, replicates: int, seed: int) -> Iterator[Array]:
    """Blocks (P, r) of how often each patient is drawn in P draws with replacement; r adds up to `replicates`."""
    rng = np.random.default_rng(seed)
    block = max(_BLOCK // patients, 1)
    for start in range(0, replicates, block):
        r = min(block, replicates - start)
        drawn = rng.integers(0, patients, (r, patients)) * r + np.arange(r)[:, None]
        yield np.bincount(drawn.ravel(), minlength=r * patients).reshape(patients, r).astype(np.float64)


def ratio(top: Array, bottom: Array) -> Array:
    """Top / bottom, NaN where the bottom is zero."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def _left_out(patients: int) -> Iterator[Array]:
    block = max(_BLOCK // patients, 1)
    for start in range(0, patients, block):
        which = np.arange(start, min(start + block, patients))
        times = np.ones((patients, len(which)))
        times[which, np.arange(len(which))] = 0
        yield times


def _apply(statistics: Sequence[Statistic], blocks: Iterator[Array] | Sequence[Array]) -> Array:
    found = [np.stack([statistic(times) for statistic in statistics]) for times in blocks]
    return np.concatenate(found, axis=1) if found else np.empty((len(statistics), 0))


def _corrected(tails: Array, value: float, defined: Array, jackknife: Array) -> Array:
    """Percentiles shifted for bias and skewness (Efron & Tibshirani 1993, equations 14.9 to 14.15)."""
    below = ((defined < value).sum() + 0.5 * (defined == value).sum()) / len(defined)
    if not 0 < below < 1:
        return tails
    bias = ndtri(below)
    off = jackknife[np.isfinite(jackknife)]
    off = off.mean() - off
    spread = (off**2).sum() ** 1.5
    skewness = (off**3).sum() / (6 * spread) if spread > 0 else 0.0
    z = bias + ndtri(tails)
    corrected: Array = ndtr(bias + z / (1 - skewness * z))
    return corrected
