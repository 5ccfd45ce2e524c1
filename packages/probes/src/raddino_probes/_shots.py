"""How much does a probe know from few images? Repeated draws of n patients of each class, as one curve with a band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raddino_probes._bootstrap import build
from raddino_probes._errors import ProbeError
from raddino_probes._findings import obstacle
from raddino_probes._heads import STRENGTHS, fit_heads
from raddino_probes._metrics import check_binary
from raddino_probes._resample import Array, resample
from raddino_probes._result import Result
from raddino_probes._split import Split, check_no_leakage
from raddino_probes._standardise import standardise
from raddino_probes._thresholds import auroc_of_columns

SHOTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def few_shot(
    train: Split,
    val: Split,
    test: Split,
    *,
    name: str = "target",
    shots: Sequence[int] = SHOTS,
    draws: int = 10,
    replicates: int = 1000,
    seed: int = 0,
) -> list[Result]:
    """AUROC of linear probes on n positive and n negative images, one of a patient, for growing n.

    Features are standardised by all training rows, which takes no label; a draw's strength is chosen on the whole of
    val. All draws of one n are trained in one pass.

    Args:
        train: targets 0, 1, NaN; what is drawn from.
        val: chooses the strength of each draw.
        test: gives the scores.
        name: of the target, for the results.
        shots: the n.
        draws: of each n; the same seed gives the same draws.
        replicates: of the bootstrap by patient.
        seed: of the draws and of the bootstrap.

    Returns:
        For each n ("16 shots" as `group`) the mean over draws; `low` and `high` hold 95 % of single draws on
        resampled patients: the band in which one run with n shots lies. Not estimable where train has fewer patients.

    Raises:
        ProbeError: as `probe_binary`; numbers below 1.
    """
    if min((draws, *shots)) < 1:
        raise ProbeError(f"expected shots and draws of 1 or more, got {tuple(shots)} and {draws}")
    check_no_leakage(train, val, test)
    for split in (train, val, test):
        check_binary(split.targets)
    x, (x_val, x_test) = standardise(train.features, val.features, test.features)
    reason, known = obstacle(train.targets, val.targets, test.targets), ~np.isnan(val.targets)
    n, positives = int((~np.isnan(test.targets)).sum()), int((test.targets == 1).sum())
    rng, found = np.random.default_rng(seed), []
    for count in shots:
        rows = [] if reason else [_draw(train, count, rng) for _ in range(draws)]
        missing = reason or ("" if all(r.size for r in rows) else f"fewer than {count} patients of each class in train")
        numbers = (np.nan, np.nan, np.nan)
        if not missing:
            scores = _scores(x, train.targets, rows, x_val[known], val.targets[known], x_test)
            statistics, patients = build([("auroc", test.targets, column) for column in scores.T], test.patients)
            drawn = resample(statistics, patients, replicates=replicates, seed=seed)
            low, high = np.nanquantile(drawn.draws, (0.025, 0.975))
            numbers = float(drawn.values.mean()), float(low), float(high)
        words = f"{count} shot{'s' if count > 1 else ''}"
        found.append(Result(name, "auroc", *numbers, n, positives, "linear", missing, words))
    return found


def _draw(train: Split, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows (2 * count,): a row each of `count` patients for either class; none where there are not so many."""
    taken: list[NDArray[np.intp]] = []
    for value in (1, 0):
        rows = rng.permutation(np.flatnonzero(train.targets == value))
        if taken:  # a patient gives one row, whichever class it is of
            rows = rows[~np.isin(train.patients[rows], train.patients[taken[0]])]
        first = np.unique(train.patients[rows], return_index=True)[1]
        if len(first) < count:
            return np.empty(0, np.intp)
        taken.append(rows[rng.permutation(first)[:count]])
    return np.concatenate(taken)


def _scores(x: Array, targets: Array, draws: list[NDArray[np.intp]], x_val: Array, val: Array, x_test: Array) -> Array:
    """(N_test, draws) log odds, each draw at the strength that is best on val."""
    rows = np.unique(np.concatenate(draws))
    labels = np.full((len(rows), len(draws)), np.nan)
    for column, drawn in zip(labels.T, draws, strict=True):
        at = np.searchsorted(rows, drawn)
        column[at] = targets[drawn]
    heads = fit_heads(x[rows], labels, STRENGTHS)
    on_val = heads.log_odds(x_val)
    best = [int(np.argmax(auroc_of_columns(val, on_val[:, i]))) for i in range(len(draws))]
    which = np.arange(len(draws)), best
    scores: Array = x_test @ heads.weights[:, *which] + heads.biases[which]
    return scores
