"""One encoder on one target: what is measured there, as plain values that a file keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from raddino_probes import (
    MEASURES,
    Comparison,
    Result,
    Score,
    confounder_matrix,
    few_shot,
    probe_beyond,
    probe_binary,
    probe_continuous,
    score_groups,
)

from raddino_cli.work.features import SPLITS, Features
from raddino_cli.work.probing import fit_number
from raddino_cli.work.targets import (
    CLASSES,
    DEVICE,
    NUMBERS,
    groups_of,
    probe_by,
    splits_of,
    target_values,
)

Cell = dict[str, Any]
Line = TypeVar("Line", Result, Comparison)
BINARY_METRICS = tuple(name for name, measure in MEASURES.items() if measure.binary)
NUMBER_METRICS = tuple(name for name, measure in MEASURES.items() if not measure.binary)
CONFOUNDERS = (*CLASSES, DEVICE, *NUMBERS)


def measure_target(features: Features, name: str, method: str, replicates: int) -> Cell:
    """`results` by every metric, `predictions` of the test rows by metric, `features` chosen, and a `reason` or ""."""
    if name in NUMBERS:
        fit, choice = fit_number(features, name, replicates)
        predictions = dict.fromkeys(NUMBER_METRICS, fit.predictions)
        return _cell(fit.results(name), predictions, choice, fit.reason)
    found = probe_by(features, [name], method, metrics=BINARY_METRICS, replicates=replicates)
    predictions = {metric: values[:, 0] for metric, values in found.predictions.items()}
    return _cell(found.results, predictions, str(found.choices[0].get("features", "")), found.reasons[0])


def measure_beyond(features: Features, name: str, cell: Cell, confounders: Sequence[str], replicates: int) -> Cell:
    """What a target's probe tells beyond confounders: `alone` on these, `results` without them and the gain over them.

    The features are those that the cell has chosen.
    """
    matrix = confounder_matrix({column: features.samples[column] for column in confounders})
    known = [matrix[features.rows(split)] for split in SPLITS]
    train, val, test = splits_of(features, name, _choice(features, cell))
    found = probe_beyond(
        train,
        val,
        test,
        (known[0], known[1], known[2]),
        probe=probe_continuous if name in NUMBERS else probe_binary,
        replicates=replicates,
    )
    words = ", ".join(confounders)
    metric = "auroc" if isinstance(found.residual, Score) else "r2"
    (main,) = (result for result in found.together.results(name) if result.metric == metric)
    gain = replace(main, value=found.gain.value, low=found.gain.low, high=found.gain.high, group=f"gain over {words}")
    residual = [replace(result, group=f"beyond {words}") for result in found.residual.results(name)]
    return {
        "alone": [asdict(result) for result in found.confounders.results(name)],
        "results": [asdict(result) for result in (*residual, gain)],
    }


def measure_groups(features: Features, name: str, cell: Cell, by: Sequence[str], replicates: int) -> Cell:
    """`results` of every metric in each group of the test rows, and the gaps, from the predictions of a cell."""
    truth, patients = test_targets(features, [name]), test_patients(features)
    results = score_groups(
        {metric: values[:, None] for metric, values in predictions_of(cell).items()}, truth, patients, [name],
        groups_of(features, by), reasons=[cell["reason"]], method=cell["results"][0]["method"], replicates=replicates,
    )  # fmt: skip
    return {"results": [asdict(result) for result in results]}


def measure_shots(features: Features, name: str, cell: Cell, shots: Sequence[int], replicates: int) -> Cell:
    """`results` of linear probes on so many images of each class."""
    train, val, test = splits_of(features, name, _choice(features, cell))
    curve = few_shot(train, val, test, name=name, shots=shots, replicates=replicates)
    return {"results": [asdict(result) for result in curve]}


def restored(kind: type[Line], rows: Iterable[dict[str, Any]]) -> list[Line]:
    """Results or comparisons that a file has kept: its nulls are NaN again."""
    numbers = {field.name for field in fields(kind) if field.type == "float"}
    found = []
    for row in rows:
        known: dict[str, Any] = {k: np.nan if v is None and k in numbers else v for k, v in row.items()}
        found.append(kind(**known))
    return found


def predictions_of(cell: Cell) -> dict[str, NDArray[np.float64]]:
    """By metric (N,) of the test rows."""
    return {metric: np.array(values, np.float64) for metric, values in cell["predictions"].items()}


def test_targets(features: Features, names: Sequence[str]) -> NDArray[np.float64]:
    """(N, L) of the test rows."""
    return np.stack([target_values(features, name)[features.rows("test")] for name in names], axis=1)


def test_patients(features: Features) -> NDArray[Any]:
    """(N,) of the test rows."""
    return features.column("patient")[features.rows("test")]


def _choice(features: Features, cell: Cell) -> str:
    """The features that a cell has chosen; the first where it read others, or nothing could be told."""
    first, *_ = features.choices
    return cell["features"] if cell["features"] in features.choices else first


def _cell(results: list[Result], predictions: dict[str, NDArray[np.float64]], choice: str, reason: str) -> Cell:
    return {
        "results": [asdict(result) for result in results],
        "predictions": {metric: values.tolist() for metric, values in predictions.items()},
        "features": choice,
        "reason": reason,
    }
