"""Probes of a folder of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from raddino_probes import RegressionScore, few_shot, probe_continuous, score_groups

from raddino_cli.console import Progress
from raddino_cli.work.features import Features, NothingToMeasureError, load_features
from raddino_cli.work.targets import (
    METHODS,
    NUMBERS,
    check_groups,
    choose_targets,
    groups_of,
    probe_by,
    splits_of,
    target_values,
)


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
    wanted = choose_targets(features, targets or ())
    if not wanted:
        raise NothingToMeasureError(
            f"expected labels, sex, age or BMI among the samples of {folder}, found none; ingest with --labels"
        )
    binary = [name for name in wanted if name not in NUMBERS]
    found = _findings(features, binary, method, by, replicates) if binary else {}
    for name in wanted:
        if name in NUMBERS:
            found[name] = _number(features, name, by, replicates)
        elif shots:
            curve = few_shot(*splits_of(features, name, "class"), name=name, shots=shots, replicates=replicates)
            found[name]["shots"] = [asdict(result) for result in curve]
        if progress:
            progress(len([done for done in wanted if done in found]), len(wanted))
    return {name: found[name] for name in wanted}


def words(score: dict[str, Any]) -> str:
    """A score for a table: value and interval."""
    if score["value"] is None or np.isnan(score["value"]):
        return score.get("reason") or "not estimable"
    return f"{score['value']:.3f} ({score['low']:.3f}-{score['high']:.3f})"


def _check(method: str, shots: Sequence[int], by: Sequence[str]) -> None:
    if method not in METHODS:
        raise ValueError(f"expected the method {', '.join(METHODS)}; got {method!r}")
    if shots and method != "linear":
        raise ValueError(f"expected the method linear with few shots, got {method!r}; leave --method out")
    check_groups(by)


def _findings(
    features: Features, names: list[str], method: str, by: Sequence[str], replicates: int
) -> dict[str, dict[str, Any]]:
    """All labels and sex in one pass over the features."""
    found = probe_by(features, names, method, replicates=replicates)
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
        groups = groups_of(features, by)
        predictions = {"auroc": found.predictions["auroc"]}
        rows = features.rows("test")
        targets = np.stack([target_values(features, name)[rows] for name in names], axis=1)
        results = score_groups(
            predictions,
            targets,
            features.column("patient")[rows],
            names,
            groups,
            reasons=found.reasons,
            replicates=replicates,
        )
        for name in names:
            scores[name]["groups"] = [asdict(result) for result in results if result.name == name]
    return scores


def fit_number(features: Features, name: str, replicates: int) -> tuple[RegressionScore, str]:
    """Ridge regression of a number, and the choice of features, which is the best on val."""
    fits = {
        choice: probe_continuous(*splits_of(features, name, choice), replicates=replicates)
        for choice in features.choices
    }
    best = max(fits, key=lambda choice: fits[choice].choice.get("val_r2", -np.inf))
    return fits[best], best


def _number(features: Features, name: str, by: Sequence[str], replicates: int) -> dict[str, Any]:
    fit, best = fit_number(features, name, replicates)
    score = {"metric": "mae", **vars(fit.mae), "n": fit.n, "r2": vars(fit.r2), "method": "ridge", "features": best}
    score["reason"] = fit.reason
    if by:
        test = splits_of(features, name, best)[2]
        results = score_groups(
            {"mae": fit.predictions[:, None]}, test.targets[:, None], test.patients, [name], groups_of(features, by),
            reasons=[fit.reason], replicates=replicates,
        )  # fmt: skip
        score["groups"] = [asdict(result) for result in results]
    return score
