"""What a run's features tell of each test image: predictions by target, Dice by mask, as plain values for a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import raddino_seg
from raddino_probes import ProbeError
from raddino_seg import Training

from raddino_cli.studies.study import Settings
from raddino_cli.work.features import Features, NothingToMeasureError, load_features
from raddino_cli.work.masks import read_masks
from raddino_cli.work.probing import fit_number
from raddino_cli.work.segmenting import Plan, fit_model, predict_masks
from raddino_cli.work.shots import take
from raddino_cli.work.targets import NUMBERS, choose_targets, probe_by, target_values

FINDINGS = "findings"
"""All labels."""
MASK = "mask:"
"""What tells a mask from a label of the same name."""
Measured = dict[str, Any]
"""What `measure_targets` and `measure_masks` found, by target and by mask, the latter after `MASK`."""
_BATCH = 16


def measure_targets(folder: Path, names: list[str]) -> dict[str, Any]:
    """By target `metric`, and of the test rows `truth`, `predictions` and `patients`; "findings" lists the labels
    that can be told.

    A target that can't be told, of a collapsed encoder say, has the `reason` alone.
    """
    features = load_features(folder)
    labels = [name for name in choose_targets(features, ()) if name in features.labels] if FINDINGS in names else []
    others = choose_targets(features, wanted) if (wanted := [name for name in names if name != FINDINGS]) else []
    targets = list(dict.fromkeys([*labels, *others]))
    binary = [name for name in targets if name not in NUMBERS]
    found = _binary(features, binary) if binary else {}
    found |= {name: _number(features, name) for name in targets if name in NUMBERS}
    if FINDINGS in names:
        told = [name for name in labels if "reason" not in found[name]] or labels
        found[FINDINGS] = {"labels": told} if told else {"reason": "no label has 10 images of each kind in test"}
    return found


def measure_masks(folder: Path, shards: Path, name: str, settings: Settings, seed: int) -> dict[str, Any]:
    """Dice of each test image, the mean of its structures, by a decoder that has seen `evaluate.shots` masks.

    Which masks these are depends on the seed; the split val is not looked at.
    """
    features, shots = load_features(folder), settings["evaluate.shots"]
    try:
        train = read_masks(shards, features, "train", (name,))
        test = read_masks(shards, features, "test", (name,), classes=train.classes)
    except NothingToMeasureError:
        return {name: {"reason": f"no mask {name!r} in train or in test"}}
    who = features.column("patient")
    (rows,) = raddino_seg.draw_shots(who[train.rows], shots or None, 1, seed)
    epochs = -(-settings["evaluate.steps"] // -(-len(rows) // _BATCH))
    plan = Plan(settings["evaluate.decoder"], (name,), training=Training(epochs, _BATCH, seed=seed))
    model = fit_model(features, take(train, rows), None, plan)
    dice = raddino_seg.measure("dice", predict_masks(model, features, test), test.masks, test.classes)
    values = np.nanmean(dice, axis=1)
    found = {"metric": "dice", "truth": np.zeros(len(values)).tolist(), "predictions": values.tolist()}
    return {name: found | {"patients": who[test.rows].tolist()}}


def _binary(features: Features, names: list[str]) -> dict[str, Any]:
    try:
        probe = probe_by(features, names, "linear", metrics=("auroc",), replicates=1)
    except ProbeError as error:
        return {name: {"reason": str(error)} for name in names}
    return {
        name: {"reason": reason} if reason else _entry(features, name, "auroc", probe.predictions["auroc"][:, column])
        for column, (name, reason) in enumerate(zip(names, probe.reasons, strict=True))
    }


def _number(features: Features, name: str) -> dict[str, Any]:
    try:
        fit, _ = fit_number(features, name, 1)
    except ProbeError as error:
        return {"reason": str(error)}
    return {"reason": fit.reason} if fit.reason else _entry(features, name, "r2", fit.predictions)


def _entry(features: Features, name: str, metric: str, predictions: Any) -> dict[str, Any]:
    rows = features.rows("test")
    return {
        "metric": metric,
        "truth": target_values(features, name)[rows].tolist(),
        "predictions": np.asarray(predictions).tolist(),
        "patients": features.column("patient")[rows].tolist(),
    }
