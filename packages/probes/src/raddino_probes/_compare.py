"""Two encoders on the same rows: the difference on each finding, and which differences stand after correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from raddino_probes._panel import difference, make_cells, measure_cells
from raddino_probes._resample import Array, Kind


@dataclass(frozen=True)
class Comparison:
    """The metric of a finding for encoder `a` and encoder `b`, and `a` minus `b` on paired resamples."""

    name: str
    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    """Two-sided, of no difference."""
    p_holm: float
    """After Holm's correction over all findings."""
    n: int
    positives: int | None
    reason: str = ""
    """Why there are no numbers."""


def compare_findings(
    metric: str,
    targets: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    patients: ArrayLike,
    names: Sequence[str],
    *,
    replicates: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    kind: Kind = "percentile",
) -> list[Comparison]:
    """Paired bootstrap by patient of a metric's difference between two models, finding by finding.

    Args:
        metric: a name that `measure` knows.
        targets: (N, L), NaN for unknown.
        a: (N, L) predictions of one model, of what the metric takes.
        b: (N, L) of the other.
        patients: (N,) identifiers.
        names: of the L findings.
        replicates: the smallest p is 2 / (replicates + 1); Holm's correction multiplies it by up to L.
        seed: of the bootstrap.
        level: of the intervals, which are not corrected.
        kind: of the intervals.

    Raises:
        ProbeError: as `score_findings`.
    """
    everyone = {"": np.ones(len(np.asarray(patients)), bool)}
    cells = [cell for model in (a, b) for cell in make_cells({metric: model}, targets, names, everyone, None)]
    panel = measure_cells(cells, patients, replicates=replicates, seed=seed, level=level, kind=kind)
    results, count = panel.results(""), len(names)
    gaps = [difference(panel.index[i], panel.index[count + i]) if i in panel.index else None for i in range(count)]
    ps = np.array([panel.draws.p_value(gap) if gap and panel.draws else np.nan for gap in gaps])
    found = []
    for i, (gap, corrected) in enumerate(zip(gaps, holm(ps), strict=True)):
        first, second = results[i], results[count + i]
        apart = panel.interval(gap).numbers if gap else (np.nan, np.nan, np.nan)
        found.append(
            Comparison(
                first.name, metric, first.value, second.value, *apart, float(ps[i]), float(corrected), first.n,
                first.positives, first.reason,
            )
        )  # fmt: skip
    return found


def holm(p_values: ArrayLike) -> Array:
    """P-values corrected for their number (Holm 1979), in the order given; NaN stays and does not count."""
    p = np.asarray(p_values, np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected = np.full_like(p, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return corrected
