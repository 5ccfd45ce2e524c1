"""How a study's runs were trained, for its page."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raddino_cli.studies.runs import Levels, batch_size, config_of, expand, of_one_seed, pairs_of, steps_before
from raddino_cli.studies.study import Settings, Study
from raddino_cli.work.card import objective
from raddino_cli.work.leaks import LIST, count_trained


@dataclass(frozen=True)
class Trained:
    """How the runs of some levels were trained, and where their training ended."""

    levels: Levels
    objective: str
    images: int | None
    """Radiographs; None where no list was written."""
    textures: int
    """In the places of others."""
    batch_size: int
    rate: float
    """At its peak."""
    steps: int
    before: int
    """Steps on textures alone that went before."""
    operations: float
    """Relative to the base's, of all steps."""
    loss: float
    """At the end, the mean over seeds; nan where nothing was written."""


def trained(study: Study, out: Path) -> list[Trained]:
    """That of each combination of levels, but for those that differ from the base in the evaluation alone."""
    every, (base, *others) = expand(study), of_one_seed(study)
    found = []
    for first in (base, *(run for run in others if run.name != base.name)):
        ends = [_last_loss(out / "runs" / run.name) for run in every if run.levels == first.levels]
        listed, settings = out / "runs" / first.name / LIST, first.settings
        lines = listed.read_text("utf-8").splitlines() if listed.exists() else None
        seen, textures = count_trained(lines) if lines else (None, 0)
        found.append(
            Trained(
                levels=first.levels, objective=_objective(settings), images=seen, textures=textures,
                batch_size=batch_size(settings), rate=_rate(settings), steps=settings["train.steps"],
                before=steps_before(settings), operations=first.cost / base.cost, loss=float(np.mean(ends)),
            )
        )  # fmt: skip
    return found


def _objective(settings: Settings) -> str:
    """Its name, and its own settings."""
    if settings["pretrain.method"] == "text":
        pairs = pairs_of(settings)
        return f"InfoNCE, temperature {pairs.temperature:g} at the start, {pairs.length} words"
    return objective(vars(config_of(settings).loss))


def _rate(settings: Settings) -> float:
    if settings["pretrain.method"] == "text":
        return pairs_of(settings).learning_rate
    return config_of(settings).peak_lr


def _last_loss(folder: Path) -> float:
    log = folder / "metrics.jsonl"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return float(json.loads(lines[-1])["loss"]) if lines else math.nan
