"""Probes of a folder of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from raddino_probes import (
    FEWEST,
    Findings,
    FindingsProbe,
    Method,
    Result,
    Split,
    age_bands,
    few_shot,
    probe_continuous,
    probe_findings,
    score_groups,
)

from raddino_cli.console import Progress
from raddino_cli.work.features import SPLITS, Features, NothingToMeasureError, load_features

CONTINUOUS = ("age", "weight_kg", "height_cm", "bmi")
DEFAULT_NUMBERS = ("age", "bmi")
GROUPS = ("sex", "age", "view")


def probe(
    folder: Path,
    targets: list[str] | None = None,
    *,
    method: str = "linear",
    shots: Sequence[int] = (),
    by: Sequence[str] = (),
    replicates: int = 1000,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Scores by target: `metric`, `value`, `low`, `high`, `n`, and more by kind.

    Labels and sex have `positives` and `average_precision`, numbers have `r2`. With `by` there is `groups`, and with
    `shots` there is `shots` for labels and sex: lists of results, `group` saying which rows or how many.
    """
    _check(method, shots, by)
    features = load_features(folder)
    known = [*features.labels, "sex", *CONTINUOUS]
    wanted = targets or [n for n in [*features.labels, "sex", *DEFAULT_NUMBERS] if _measurable(features, n)]
    for name in wanted:
        if name not in known:
            raise ValueError(f"expected a target of {', '.join(known)}; got {name!r}")
    if not wanted:
        raise NothingToMeasureError(
            f"expected labels, sex, age or BMI among the samples of {folder}, found none; ingest with --labels"
        )
    binary = [name for name in dict.fromkeys(wanted) if name not in CONTINUOUS]
    found = _findings(features, binary, method, by, replicates) if binary else {}
    for name in wanted:
        if name in CONTINUOUS:
            found[name] = _number(features, name, by, replicates)
        elif shots:
            curve = few_shot(*_splits(features, name, "class"), name=name, shots=shots, replicates=replicates)
            found[name]["shots"] = [asdict(result) for result in curve]
        if progress:
            progress(len([done for done in wanted if done in found]), len(wanted))
    return {name: found[name] for name in wanted}


def words(score: dict[str, Any]) -> str:
    """A score for a table: value and interval."""
    if score["value"] is None or np.isnan(score["value"]):
        return score.get("reason") or "not estimable"
    return f"{score['value']:.3f} ({score['low']:.3f}-{score['high']:.3f})"


def target_values(features: Features, name: str) -> NDArray[np.float64]:
    """A target as numbers, NaN where unknown or uncertain; sex is 1 for women."""
    if name == "sex":
        return np.array([{"F": 1.0, "M": 0.0}.get(value, np.nan) for value in features.samples["sex"]])
    values = features.column(name if name in CONTINUOUS else f"label.{name}").astype(float)
    return values if name in CONTINUOUS else np.where(values < 0, np.nan, values)


def _check(method: str, shots: Sequence[int], by: Sequence[str]) -> None:
    if method not in get_args(Method):
        raise ValueError(f"expected the method {', '.join(get_args(Method))}; got {method!r}")
    if shots and method != "linear":
        raise ValueError(f"expected the method linear with few shots, got {method!r}; leave --method out")
    for name in by:
        if name not in GROUPS:
            raise ValueError(f"expected groups by {', '.join(GROUPS)}; got {name!r}")


def _measurable(features: Features, name: str) -> bool:
    values = target_values(features, name)[features.rows("test")]
    known = values[~np.isnan(values)]
    if name in CONTINUOUS:
        return len(known) >= FEWEST
    return bool(min((known == 1).sum(), (known == 0).sum()) >= FEWEST)


def _splits(features: Features, name: str, choice: str) -> list[Split]:
    values, patients = target_values(features, name), features.column("patient")
    rows = map(features.rows, SPLITS)
    return [Split(features.choices[choice][i], values[i], patients[i]) for i in rows]


def _findings(
    features: Features, names: list[str], method: str, by: Sequence[str], replicates: int
) -> dict[str, dict[str, Any]]:
    """All labels and sex in one pass over the features."""
    values = np.stack([target_values(features, name) for name in names], axis=1)
    patients, rows = features.column("patient"), map(features.rows, SPLITS)
    train, val, test = (
        Findings({name: x[i] for name, x in features.choices.items()}, values[i], patients[i], tuple(names))
        for i in rows
    )
    found: FindingsProbe = probe_findings(train, val, test, method=method, replicates=replicates)  # type: ignore[arg-type]
    by_metric = {(result.metric, result.name): result for result in found.results}
    scores = {}
    for name, choice in zip(names, found.choices, strict=True):
        first, second = by_metric["auroc", name], by_metric["average_precision", name]
        kept = {key: getattr(first, key) for key in ("metric", "value", "low", "high", "n", "positives", "reason")}
        scores[name] = {
            **kept,
            "method": method,
            "features": choice.get("features"),
            "average_precision": vars(second.interval),
        }
    if by:
        groups = _groups(features, by)
        predictions = {"auroc": found.predictions["auroc"]}
        results = score_groups(
            predictions, test.targets, test.patients, names, groups, reasons=found.reasons, replicates=replicates
        )
        for name in names:
            scores[name]["groups"] = [asdict(result) for result in results if result.name == name]
    return scores


def _number(features: Features, name: str, by: Sequence[str], replicates: int) -> dict[str, Any]:
    fits = {
        choice: probe_continuous(*_splits(features, name, choice), replicates=replicates) for choice in features.choices
    }
    best = max(fits, key=lambda choice: fits[choice].choice.get("val_r2", -np.inf))
    fit, test = fits[best], _splits(features, name, best)[2]
    score = {"metric": "mae", **vars(fit.mae), "n": fit.n, "r2": vars(fit.r2), "method": "ridge", "features": best}
    score["reason"] = fit.reason
    if by:
        results: list[Result] = score_groups(
            {"mae": fit.predictions[:, None]}, test.targets[:, None], test.patients, [name], _groups(features, by),
            reasons=[fit.reason], replicates=replicates,
        )  # fmt: skip
        score["groups"] = [asdict(result) for result in results]
    return score


def _groups(features: Features, by: Sequence[str]) -> dict[str, list[Any]]:
    """Labels of the test rows."""
    rows = features.rows("test")
    found = {name: [features.samples[name][i] for i in rows] for name in by}
    if "age" in found:
        found["age"] = age_bands(found["age"])
    return found
