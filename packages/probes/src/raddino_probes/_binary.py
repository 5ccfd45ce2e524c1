"""Does a frozen feature tell a finding from its absence? AUROC on the test split, with an interval by patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raddino_probes._findings import Method, probe_findings
from raddino_probes._interval import Interval
from raddino_probes._metrics import check_binary
from raddino_probes._result import Result
from raddino_probes._split import Split, check_no_leakage


@dataclass(frozen=True, eq=False)
class Score:
    """A binary probe's result. Where `estimable` is False the numbers are NaN and `reason` says why."""

    metric: str
    value: float
    low: float
    high: float
    n: int
    """Test rows with a known target."""
    positives: int
    """Of which positive."""
    choice: dict[str, float | int | str]
    """What was chosen on the validation split, and its value there."""
    predictions: NDArray[np.float64]
    """(N,) one per test row, known or not: log odds (linear) or positive share (knn); NaN where not estimable."""
    estimable: bool = True
    reason: str = ""

    @property
    def interval(self) -> Interval:
        """Value, low and high together."""
        return Interval(self.value, self.low, self.high)

    def results(self, name: str) -> list[Result]:
        """The same as a line of a table, under the target's name."""
        method = str(self.choice["method"])
        return [Result(name, self.metric, *self.interval.numbers, self.n, self.positives, method, self.reason)]


def probe_binary(
    train: Split,
    val: Split,
    test: Split,
    *,
    method: Method = "linear",
    replicates: int = 1000,
    seed: int = 0,
) -> Score:
    """AUROC of a probe of one target on frozen features: `probe_findings` for one finding.

    Args:
        train: targets 0, 1, NaN for unknown (those rows are left out), as in val and test.
        val: chooses the strength or the number of neighbours.
        test: gives the score.
        method: "linear", "knn" or "logistic".
        replicates: of the bootstrap by patient (95 % interval).
        seed: of the bootstrap.

    Returns:
        A Score; not estimable, rather than a number by chance, where train or val lacks a class or test has fewer
        than 10 rows of either.

    Raises:
        ProbeError: a patient in two splits, features of different lengths, other targets, an unknown method.
    """
    check_no_leakage(train, val, test)
    for split in (train, val, test):
        check_binary(split.targets)
    # Features are standardised by the rows that the target is known for.
    known = [split if np.isnan(split.targets).all() else split.known() for split in (train, val)]
    probe = probe_findings(
        *(split.as_findings() for split in (*known, test)),
        method=method, metrics=("auroc",), replicates=replicates, seed=seed,
    )  # fmt: skip
    at, choice = probe.results[0], {key: value for key, value in probe.choices[0].items() if key != "features"}
    return Score(
        at.metric, at.value, at.low, at.high, at.n, at.positives or 0, {"method": method, **choice},
        probe.predictions["auroc"][:, 0], not at.reason, at.reason,
    )  # fmt: skip
