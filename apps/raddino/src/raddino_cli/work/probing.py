"""Probes of a folder of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from raddino_probes import FEWEST, Split, probe_binary, probe_continuous

from raddino_cli.console import Progress
from raddino_cli.work.features import SPLITS, Features, NothingToMeasureError, load_features

CONTINUOUS = ("age", "bmi")


def probe(
    folder: Path,
    targets: list[str] | None = None,
    *,
    method: str = "linear",
    replicates: int = 1000,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Scores by target: `metric`, `value`, `low`, `high`, `n`, and for age and BMI `r2` with its interval too."""
    if method not in ("linear", "knn"):
        raise ValueError(f"expected the method linear or knn, got {method!r}")
    features = load_features(folder)
    known = [*features.labels, "sex", *CONTINUOUS]
    wanted = targets or [name for name in known if _measurable(features, name)]
    found: dict[str, dict[str, Any]] = {}
    for done, name in enumerate(wanted, 1):
        if name not in known:
            raise ValueError(f"expected a target of {', '.join(known)}; got {name!r}")
        found[name] = _one(features, name, cast(Literal["linear", "knn"], method), replicates)
        if progress:
            progress(done, len(wanted))
    if not found:
        raise NothingToMeasureError(
            f"expected labels, sex, age or BMI among the samples of {folder}, found none; ingest with --labels"
        )
    return found


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


def _measurable(features: Features, name: str) -> bool:
    values = target_values(features, name)[features.rows("test")]
    known = values[~np.isnan(values)]
    if name in CONTINUOUS:
        return len(known) >= FEWEST
    return bool(min((known == 1).sum(), (known == 0).sum()) >= FEWEST)


def _one(features: Features, name: str, method: Literal["linear", "knn"], replicates: int) -> dict[str, Any]:
    values, patients = target_values(features, name), features.column("patient")
    parts = [
        Split(features.cls[rows].astype(np.float64), values[rows], patients[rows])
        for rows in map(features.rows, SPLITS)
    ]
    if name in CONTINUOUS:
        fit = probe_continuous(*parts, replicates=replicates)
        scores = {"metric": "mae", **vars(fit.mae), "n": fit.n, "r2": vars(fit.r2), "method": "ridge"}
        return {**scores, "reason": fit.reason}
    score = probe_binary(*parts, method=method, replicates=replicates)
    kept = {key: getattr(score, key) for key in ("metric", "value", "low", "high", "n", "positives", "reason")}
    return {**kept, "method": method}
