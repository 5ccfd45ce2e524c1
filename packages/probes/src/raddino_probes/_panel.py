"""Many metrics of many targets in many groups of rows, all on the same resamples of the patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_probes._bootstrap import build
from raddino_probes._errors import ProbeError
from raddino_probes._interval import Interval
from raddino_probes._metrics import named
from raddino_probes._resample import Array, Combination, Draws, Kind, resample
from raddino_probes._result import Result, too_few

UNKNOWN = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True, eq=False)
class Cell:
    """One metric of one target in one group of rows."""

    name: str
    metric: str
    group: str
    targets: Array
    """(N,), NaN where unknown or outside the group."""
    predictions: Array
    """(N,)."""
    reason: str
    """Why there is no number, or ""."""

    def result(self, interval: Interval, method: str) -> Result:
        """The cell with its numbers."""
        n = int((~np.isnan(self.targets)).sum())
        positives = int((self.targets == 1).sum()) if named(self.metric).binary else None
        return Result(self.name, self.metric, *interval.numbers, n, positives, method, self.reason, self.group)


@dataclass(frozen=True, eq=False)
class Panel:
    """Cells and the resamples that they share."""

    cells: list[Cell]
    draws: Draws | None
    """Of the estimable cells; None where there are none."""
    index: dict[int, int]
    """From a cell's place to its place among the draws; a cell that isn't estimable has none."""

    def interval(self, of: Combination) -> Interval:
        """A combination of the estimable cells."""
        return self.draws.interval(of) if self.draws else UNKNOWN

    def results(self, method: str) -> list[Result]:
        """One per cell."""
        places = [self.index.get(i) for i in range(len(self.cells))]
        intervals = [UNKNOWN if place is None else self.interval(pick(place)) for place in places]
        return [cell.result(interval, method) for cell, interval in zip(self.cells, intervals, strict=True)]


def measure_cells(
    cells: list[Cell], patients: ArrayLike, *, replicates: int, seed: int, level: float, kind: Kind
) -> Panel:
    """All estimable cells on the same resamples."""
    alive = [i for i, cell in enumerate(cells) if not cell.reason]
    if not alive:
        return Panel(cells, None, {})
    wanted = [(cells[i].metric, cells[i].targets, cells[i].predictions) for i in alive]
    statistics, count = build(list(wanted), patients)
    draws = resample(statistics, count, replicates=replicates, seed=seed, level=level, kind=kind)
    return Panel(cells, draws, {i: place for place, i in enumerate(alive)})


def make_cells(
    predictions: Mapping[str, ArrayLike],
    targets: ArrayLike,
    names: Sequence[str],
    groups: Mapping[str, NDArray[np.bool_]],
    reasons: Sequence[str] | None,
) -> list[Cell]:
    """By metric, then target, then group.

    Raises:
        ProbeError: shapes that don't fit.
    """
    t = np.asarray(targets, np.float64)
    if t.ndim != 2 or t.shape[1] != len(names):
        raise ProbeError(f"expected targets (N, {len(names)}), a column for each name, got {t.shape}")
    found = []
    for metric, values in predictions.items():
        p, binary = np.asarray(values, np.float64), named(metric).binary
        if p.shape != t.shape:
            raise ProbeError(f"predictions of {metric}: expected the shape of the targets {t.shape}, got {p.shape}")
        for i, name in enumerate(names):
            for group, rows in groups.items():
                mine = np.where(rows, t[:, i], np.nan)
                reason = (reasons[i] if reasons else "") or too_few(mine, binary=binary, split=group or "test")
                found.append(Cell(name, metric, group, mine, p[:, i], reason))
    return found


def pick(place: int) -> Combination:
    """One statistic."""
    return lambda values: values[place]


def mean(places: Sequence[int]) -> Combination:
    """The mean of some."""
    which = list(places)
    return lambda values: values[which].mean(0)


def difference(a: int, b: int) -> Combination:
    """One minus another."""
    return lambda values: values[a] - values[b]
