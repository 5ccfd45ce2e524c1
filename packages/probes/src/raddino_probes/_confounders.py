"""What features tell beyond what is known anyway: a finding beyond age and view, BMI beyond sex."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from raddino_probes._binary import Score, probe_binary
from raddino_probes._bootstrap import paired_difference
from raddino_probes._continuous import RegressionScore
from raddino_probes._errors import ProbeError
from raddino_probes._interval import Interval
from raddino_probes._panel import UNKNOWN
from raddino_probes._resample import Array
from raddino_probes._split import Split


@dataclass(frozen=True, eq=False)
class Beyond:
    """The same probe on four inputs, and what the features add to the confounders."""

    confounders: Score | RegressionScore
    """On the confounders alone."""
    features: Score | RegressionScore
    """On the features as they are."""
    residual: Score | RegressionScore
    """On the features with all that is linear in the confounders taken out."""
    together: Score | RegressionScore
    """On both side by side."""
    gain: Interval
    """AUROC (or R2) of `together` minus that of `confounders`, on paired resamples."""


def confounder_matrix(columns: Mapping[str, Sequence[Any]]) -> Array:
    """(N, K) of confounders such as age, view and manufacturer, for the rows of all splits at once.

    Numbers keep their unit, the unknown (None, NaN) at the mean with a column that says so; texts have a column for
    each value, the unknown being one of them.

    Raises:
        ProbeError: no columns, columns of different lengths, a column of numbers that has none.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ProbeError(f"confounders: expected one or more columns of one length, got {lengths}")
    parts = []
    for name, values in columns.items():
        if all(value is None or isinstance(value, int | float | np.number) for value in values):
            numbers = np.array(values, np.float64)
            known = np.isfinite(numbers)
            if not known.any():
                raise ProbeError(f"confounders: expected some numbers in {name}, got none")
            parts.append(np.where(known, numbers, numbers[known].mean()))
            if not known.all():
                parts.append((~known).astype(np.float64))
        else:
            texts = np.array(["" if value is None else str(value) for value in values])
            parts += [(texts == text).astype(np.float64) for text in np.unique(texts)]
    return np.stack(parts, axis=1)


def remove_confounders(
    train: ArrayLike, train_confounders: ArrayLike, *others: tuple[ArrayLike, ArrayLike]
) -> list[Array]:
    """Features (N, D) less their linear regression on confounders (N, K), fitted on the training rows alone.

    Args:
        train: features of the training rows.
        train_confounders: their confounders.
        others: (features, confounders) of other rows, to which the same regression is applied.

    Returns:
        The residual features of train, then of the others.

    Raises:
        ProbeError: shapes that don't fit.
    """
    pairs = [(np.asarray(x, np.float64), np.asarray(c, np.float64)) for x, c in ((train, train_confounders), *others)]
    for x, c in pairs:
        if x.ndim != 2 or c.ndim != 2 or len(x) != len(c) or c.shape[1] != pairs[0][1].shape[1]:
            raise ProbeError(f"expected features (N, D) and confounders (N, K), got {x.shape} and {c.shape}")
    x, c = pairs[0]
    slopes = np.linalg.lstsq(c - c.mean(0), x - x.mean(0), rcond=None)[0]
    return [other - (confounders - c.mean(0)) @ slopes for other, confounders in pairs]


def probe_beyond(
    train: Split,
    val: Split,
    test: Split,
    confounders: tuple[ArrayLike, ArrayLike, ArrayLike],
    *,
    probe: Callable[..., Score | RegressionScore] = probe_binary,
    replicates: int = 1000,
    seed: int = 0,
) -> Beyond:
    """Do features tell more of a target than age, view or manufacturer do?

    Only what is linear in the confounders is taken out of the features; say "beyond age and view, linearly".

    Args:
        train: features and targets, as for `probe`.
        val: the same.
        test: the same.
        confounders: (N, K) of train, val and test (`confounder_matrix` makes them of columns).
        probe: `probe_binary` or `probe_continuous`.
        replicates: of the bootstraps by patient.
        seed: of the bootstraps.

    Raises:
        ProbeError: as `probe`; confounders that don't vary in a split.
    """
    splits, known = (train, val, test), [np.asarray(c, np.float64) for c in confounders]
    for name, c in zip(("train", "val", "test"), known, strict=True):
        if (c == c[:1]).all():
            raise ProbeError(f"confounders: expected some variance in {name}, got the same in all {len(c)} rows")
    rest = remove_confounders(train.features, known[0], *zip([s.features for s in splits[1:]], known[1:], strict=True))
    both = [np.hstack([split.features, c]) for split, c in zip(splits, known, strict=True)]

    def run(matrices: Sequence[Array]) -> Score | RegressionScore:
        parts = [Split(x, split.targets, split.patients) for x, split in zip(matrices, splits, strict=True)]
        return probe(*parts, replicates=replicates, seed=seed)

    alone, plain, residual, together = map(run, (known, [split.features for split in splits], rest, both))
    gain = UNKNOWN
    if alone.estimable:
        metric = "auroc" if isinstance(alone, Score) else "r2"
        models = test.targets, together.predictions, alone.predictions
        gain = paired_difference(metric, *models, test.patients, replicates=replicates, seed=seed)
    return Beyond(alone, plain, residual, together, gain)
