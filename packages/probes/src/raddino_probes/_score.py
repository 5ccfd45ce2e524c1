"""Predictions of several targets: every metric of each, the macro mean, and the same by group of patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_probes._errors import ProbeError
from raddino_probes._panel import difference, make_cells, mean, measure_cells
from raddino_probes._resample import Kind
from raddino_probes._result import Result


def score_findings(
    predictions: Mapping[str, ArrayLike],
    targets: ArrayLike,
    patients: ArrayLike,
    names: Sequence[str],
    *,
    reasons: Sequence[str] | None = None,
    method: str = "",
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    kind: Kind = "percentile",
) -> list[Result]:
    """Every metric of every target, and its macro mean over targets, each with its interval by patient.

    Args:
        predictions: by metric (a name that `measure` knows), (N, L) of what that metric takes: scores for "auroc",
            probabilities for "brier", decisions for "f1", numbers for "mae".
        targets: (N, L), NaN for unknown.
        patients: (N,) identifiers.
        names: of the L targets.
        reasons: L, why a target can't be told for a cause outside these rows ("no positives in train"), or "".
        method: a word for the results.
        replicates: of the bootstrap; all numbers come from the same resamples.
        seed: of the bootstrap.
        level: of the intervals.
        kind: of the intervals, "percentile" or "bca".

    Returns:
        By metric: each target, then "macro" if there are several. A target with fewer than 10 rows of either class
        is not estimable; the macro mean is over the others, and its `reason` says how many those are.

    Raises:
        ProbeError: shapes that don't fit, an unknown metric, values that a metric doesn't take.
    """
    everyone = {"": np.ones(len(np.asarray(patients)), bool)}
    cells = make_cells(predictions, targets, names, everyone, reasons)
    panel = measure_cells(cells, patients, replicates=replicates, seed=seed, level=level, kind=kind)
    results, found, n = panel.results(method), [], int((~np.isnan(np.asarray(targets, float))).any(1).sum())
    for i, metric in enumerate(predictions):
        places = range(i * len(names), (i + 1) * len(names))
        found += [results[place] for place in places]
        if len(names) > 1:
            alive = [panel.index[place] for place in places if place in panel.index]
            macro = panel.interval(mean(alive)) if alive else results[places[0]].interval
            left = "" if len(alive) == len(names) else f"mean of {len(alive)} of {len(names)} targets"
            found.append(Result("macro", metric, *macro.numbers, n, None, method, left))
    return found


def score_groups(
    predictions: Mapping[str, ArrayLike],
    targets: ArrayLike,
    patients: ArrayLike,
    names: Sequence[str],
    groups: Mapping[str, ArrayLike],
    *,
    reasons: Sequence[str] | None = None,
    method: str = "",
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    kind: Kind = "percentile",
) -> list[Result]:
    """Every metric of every target in each group of rows, and the gap between the two groups that are furthest apart.

    Arguments and errors as for `score_findings`, and `groups`: by attribute such as "sex", "age", "view" or "source"
    (N,) labels, None or "" where unknown (`age_bands` makes labels of ages). All numbers come from the same resamples
    of the patients, so a gap's interval knows that groups may share patients.

    Returns:
        By metric and target: one result for each group ("sex=F"), then one for each attribute's gap ("sex: F - M"),
        never negative, between the groups that are furthest apart on the data as they are. A gap among many groups is
        above zero by chance alone; its interval, of these two groups, does not correct for that.
    """
    rows: dict[str, NDArray[np.bool_]] = {}
    attributes: dict[str, list[str]] = {}
    for attribute, labels in groups.items():
        masks = _masks(attribute, labels, len(np.asarray(patients)))
        attributes[attribute] = list(masks)
        rows |= masks
    cells = make_cells(predictions, targets, names, rows, reasons)
    panel = measure_cells(cells, patients, replicates=replicates, seed=seed, level=level, kind=kind)
    results, found = panel.results(method), []
    for start in range(0, len(cells), len(rows)):
        found += results[start : start + len(rows)]
        for attribute, members in attributes.items():
            mine = [start + list(rows).index(group) for group in members]
            mine = sorted((i for i in mine if i in panel.index), key=lambda i: results[i].value)
            if len(mine) > 1:
                least, most = results[mine[0]], results[mine[-1]]
                gap = panel.interval(difference(panel.index[mine[-1]], panel.index[mine[0]]))
                words = f"{attribute}: {most.group.removeprefix(attribute + '=')} - "
                words += least.group.removeprefix(attribute + "=")
                n = least.n + most.n
                found.append(Result(most.name, most.metric, *gap.numbers, n, None, method, "", words))
    return found


def age_bands(ages: ArrayLike, edges: Sequence[float] = (40, 60, 80)) -> list[str]:
    """A label such as "40-59" for each age (N,) in years; "" where it is NaN."""
    years = np.asarray(ages, np.float64)
    names = [
        f"<{edges[0]:g}",
        *(f"{a:g}-{b - 1:g}" for a, b in pairwise(edges)),
        f">={edges[-1]:g}",
    ]
    return ["" if np.isnan(age) else names[int(np.searchsorted(edges, age, side="right"))] for age in years]


def _masks(attribute: str, labels: ArrayLike, n: int) -> dict[str, NDArray[np.bool_]]:
    texts = np.array(["" if label is None else str(label) for label in np.asarray(labels, object).ravel()])
    if len(texts) != n:
        raise ProbeError(f"groups by {attribute}: expected a label for each of {n} rows, got {len(texts)}")
    return {f"{attribute}={name}": texts == name for name in np.unique(texts) if name}
