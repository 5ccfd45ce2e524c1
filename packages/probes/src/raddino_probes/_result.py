"""One line of evidence: what was measured, its value and interval, on how many rows; or why it can't be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raddino_probes._interval import Interval

FEWEST = 10
"""Fewer test rows than this of either class, and no number is given: its interval would span most of 0..1."""


@dataclass(frozen=True)
class Result:
    """A metric of one target. Where it is not estimable the numbers are NaN and `reason` says why."""

    name: str
    """The finding or other target; "macro" for the mean over findings."""
    metric: str
    value: float
    low: float
    high: float
    n: int
    """Rows with a known target."""
    positives: int | None
    """Of which positive; None for numbers and means."""
    method: str = ""
    reason: str = ""
    """Why there is no number, or what a mean leaves out."""
    group: str = ""
    """Which rows, such as "sex=F"; all where empty."""

    @property
    def interval(self) -> Interval:
        """Value, low and high together."""
        return Interval(self.value, self.low, self.high)

    @property
    def estimable(self) -> bool:
        """Whether there is a number."""
        return bool(np.isfinite(self.value))


def to_rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Plain dictionaries, one per result, in the order of `Result`'s fields."""
    return [asdict(result) for result in results]


def too_few(targets: NDArray[np.float64], *, binary: bool, split: str = "test") -> str:
    """Why targets (N,), NaN for unknown, are too few for a number; "" where they are enough."""
    known = targets[~np.isnan(targets)]
    if not binary:
        if known.size < FEWEST:
            return f"{known.size} known targets in {split}, at least {FEWEST} needed"
        return "" if np.unique(known).size > 1 else f"no two different targets in {split}"
    for kind, count in (("negatives", (known == 0).sum()), ("positives", (known == 1).sum())):
        if count < FEWEST:
            return f"{count} {kind} in {split}, at least {FEWEST} needed"
    return ""
