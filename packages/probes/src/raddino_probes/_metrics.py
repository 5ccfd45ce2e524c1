"""What can be measured of one prediction per row, by name, and what each metric takes as predictions and targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_probes import _moments, _ranks
from raddino_probes._errors import ProbeError
from raddino_probes._resample import Array, Statistic

Takes = Literal["score", "probability", "decision", "number"]
Build = Callable[[Array, Array, NDArray[np.int64], int], Statistic]


@dataclass(frozen=True)
class Measure:
    """A metric: how it is computed over resamples, and what it takes."""

    build: Build
    """Targets, predictions, the patient 0..P-1 of each row and P, to a statistic."""
    takes: Takes
    """Predictions: any "score" (higher is more likely positive), a "probability" 0..1, a "decision" 0 or 1, or a
    "number" in the unit of the targets. Targets are 0 and 1 for the first three."""

    @property
    def binary(self) -> bool:
        """Whether targets are 0 and 1."""
        return self.takes != "number"


MEASURES: dict[str, Measure] = {
    "auroc": Measure(_ranks.auroc_statistic, "score"),
    "average_precision": Measure(_ranks.average_precision_statistic, "score"),
    "f1": Measure(_moments.f1_statistic, "decision"),
    "sensitivity": Measure(_moments.sensitivity_statistic, "decision"),
    "specificity": Measure(_moments.specificity_statistic, "decision"),
    "brier": Measure(_moments.brier_statistic, "probability"),
    "ece": Measure(_moments.ece_statistic, "probability"),
    "mae": Measure(_moments.mae_statistic, "number"),
    "r2": Measure(_moments.r2_statistic, "number"),
    "pearson": Measure(_moments.pearson_statistic, "number"),
}


def measure(name: str, targets: ArrayLike, predictions: ArrayLike) -> float:
    """One metric on rows as they are.

    Args:
        name: "auroc" (ties count half), "average_precision" (a sum of steps, no interpolation), "f1", "sensitivity",
            "specificity" (of 0/1 decisions), "brier", "ece" (of probabilities), "mae", "r2", "pearson" (of numbers).
        targets: (N,); 0 and 1, or numbers for the last three.
        predictions: (N,).

    Returns:
        The value; NaN where it is undefined (AUROC of one class, R2 of equal targets).

    Raises:
        ProbeError: an unknown name, lengths that differ, no rows, NaN, values that the metric doesn't take.
    """
    t, p = check_pair(targets, predictions, named(name).takes)
    return float(named(name).build(t, p, np.arange(len(t)), len(t))(np.ones((len(t), 1)))[0])


def auroc(targets: ArrayLike, predictions: ArrayLike) -> float:
    """`measure("auroc", ...)`: the chance that a positive is ranked above a negative, ties count half."""
    return measure("auroc", targets, predictions)


def average_precision(targets: ArrayLike, predictions: ArrayLike) -> float:
    """`measure("average_precision", ...)`: the area under the precision-recall curve as a sum of steps."""
    return measure("average_precision", targets, predictions)


def named(name: object) -> Measure:
    """The metric of a name.

    Raises:
        ProbeError: there is none.
    """
    if not isinstance(name, str) or name not in MEASURES:
        raise ProbeError(f"metric: expected one of {', '.join(MEASURES)}, got {name!r}")
    return MEASURES[name]


def check_pair(targets: ArrayLike, predictions: ArrayLike, takes: Takes) -> tuple[Array, Array]:
    """Both as float vectors of one length, without NaN and with the values that a metric takes.

    Raises:
        ProbeError: anything else.
    """
    t, p = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    if t.ndim != 1 or t.shape != p.shape or not t.size:
        raise ProbeError(f"expected as many targets as predictions (N,), got {t.shape} and {p.shape}")
    if np.isnan(t).any() or np.isnan(p).any():
        raise ProbeError("expected numbers, got NaN in targets or predictions; leave unknown rows out")
    if takes != "number":
        check_binary(t)
    if takes == "decision" and not np.isin(p, (0, 1)).all():
        raise ProbeError("predictions: expected decisions 0 and 1, got other values; compare scores with a threshold")
    if takes == "probability" and not ((p >= 0) & (p <= 1)).all():
        raise ProbeError(f"predictions: expected probabilities 0..1, got {p.min():g} to {p.max():g}")
    return t, p


def check_binary(targets: Array) -> None:
    """Refuse targets other than 0, 1 and NaN.

    Raises:
        ProbeError: there are others.
    """
    known = targets[~np.isnan(targets)]
    if not np.isin(known, (0, 1)).all():
        odd = np.setdiff1d(known, (0, 1))[:5].tolist()
        raise ProbeError(f"targets: expected 0 and 1, NaN for unknown, got {odd} as well; map uncertain labels to NaN")
