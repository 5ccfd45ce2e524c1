"""Models that were each trained from several seeds: what a metric says of them, over patients and over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from raddino_probes._bootstrap import Metric, build
from raddino_probes._errors import ProbeError
from raddino_probes._resample import Array, Combination, resample


@dataclass(frozen=True)
class AcrossSeeds:
    """A mean over seeds with its interval; NaN ends where a single seed can't tell how much the next would differ."""

    value: float
    low: float
    high: float
    seeds: tuple[float, ...]
    """The value of each seed."""
    patient_error: float
    """Standard error of the value over resampled patients."""
    seed_error: float
    """Standard error of the value over seeds; NaN for one."""
    patients: int

    @property
    def leaves_out_zero(self) -> bool:
        """Whether zero lies outside the interval; False where there is none."""
        return self.low > 0 or self.high < 0


def across_seeds(
    metric: Metric,
    targets: ArrayLike,
    predictions: ArrayLike,
    patients: ArrayLike,
    of: Combination,
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> AcrossSeeds:
    """A combination of M models' metrics, such as a difference, with an interval for other patients and other seeds.

    A model's metric is the mean over the L targets. The combination is taken seed by seed, so that models are paired
    by seed, and on the same resamples of the patients. Its variance is that of the mean over seeds when patients are
    resampled, plus that between seeds divided by their number; the interval is Student's, with the degrees of freedom
    of the sum (Satterthwaite 1946). It widens as it must where there are few seeds.

    Args:
        metric: as `bootstrap_by_patient`.
        targets: (N, L), NaN for unknown.
        predictions: (M, S, N, L) of M models from S seeds each, the same seeds in the same order.
        patients: (N,) identifiers.
        of: the metrics (M, R) to (R,), as `lambda of: of[1] - of[0]`.
        replicates: how many.
        seed: of the resampling.
        level: of the interval.

    Raises:
        ProbeError: as `bootstrap_by_patient`, or shapes that don't fit.
    """
    t, p = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    if p.ndim != 4 or t.ndim != 2 or p.shape[2:] != t.shape:
        raise ProbeError(f"expected targets (N, L) and predictions (M, S, N, L), got {t.shape} and {p.shape}")
    models, seeds, _, columns = p.shape
    wanted = [(metric, t[:, k], p[m, s, :, k]) for m in range(models) for s in range(seeds) for k in range(columns)]
    statistics, count = build(list(wanted), patients)
    draws = resample(statistics, count, replicates=replicates, seed=seed, level=level)

    def combined(values: Array) -> list[Array]:
        each = values.reshape(models, seeds, columns, -1).mean(2)
        return [of(each[:, s]) for s in range(seeds)]

    found = np.concatenate(combined(draws.values))
    drawn = np.mean(combined(draws.draws), axis=0)
    drawn = drawn[np.isfinite(drawn)]
    value = float(found.mean())
    patient_error = float(drawn.std(ddof=1)) if 2 * len(drawn) >= max(replicates, 4) else math.nan
    seed_error = float(found.std(ddof=1)) / math.sqrt(seeds) if seeds > 1 else math.nan
    half = _half_width(patient_error, count - 1, seed_error, seeds - 1, level)
    return AcrossSeeds(value, value - half, value + half, tuple(found.tolist()), patient_error, seed_error, count)


def _half_width(a: float, a_freedom: int, b: float, b_freedom: int, level: float) -> float:
    """Of an interval whose variance is the sum of two, each known with so many degrees of freedom."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return math.nan
    if not (a or b):
        return 0.0
    freedom = (a**2 + b**2) ** 2 / (a**4 / a_freedom + b**4 / b_freedom)
    return float(stdtrit(freedom, (1 + level) / 2) * math.hypot(a, b))
