"""A value with the range in which it is expected to lie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval, all NaN where it can't be estimated."""

    value: float
    """On the data as they are."""
    low: float
    high: float

    @property
    def numbers(self) -> tuple[float, float, float]:
        """Value, low, high."""
        return self.value, self.low, self.high

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def separates(a: Interval, b: Interval) -> bool:
    """Whether two intervals don't overlap. Strict: touching, or NaN anywhere, is not separate.

    For two models on the same rows `paired_difference` is the sharper test: its interval leaves out zero.
    """
    return a.low > b.high or b.low > a.high
