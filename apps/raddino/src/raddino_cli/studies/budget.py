"""A study scaled to so many minutes of this machine, by what a step and an image cost here."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import ssl_core
import torch

from raddino_cli.console import say
from raddino_cli.studies.running import run_all
from raddino_cli.studies.runs import base_settings, config_of, of_one_seed, step_cost
from raddino_cli.studies.study import DEFAULTS, Factor, Study, facts, parse_study, to_toml
from raddino_cli.work.hierarchical import hierarchical
from raddino_cli.work.stages import Stages, write_text

_NOTE = "budget.json"
_PILOT = 60  # patients that are made, embedded and measured to know what that costs
_TIMED = 6  # steps of each configuration that are timed, after one that is not
_ENOUGH = 0.5  # of the steps: where fewer are left, seeds and then patients are given up for them
_WORTH = 0.8  # of the steps that the cheapest choice leaves: dearer ones that leave as many are kept
_FEWEST = (3, 250)  # seeds and patients that are kept: the interval of two seeds is three times that of three


@dataclass(frozen=True)
class Costs:
    """Seconds on this machine."""

    training: float
    """Of the training of all runs of one seed."""
    image: float
    """Of making and ingesting one."""
    seed_image: float
    """Of embedding and probing one, in all runs of one seed."""
    seed: float
    """Of the decoders of all runs of one seed."""

    def overhead(self, seeds: int, patients: int) -> float:
        """Of everything but training; a quarter of the patients come twice."""
        images = 1.25 * patients
        return images * self.image + seeds * (images * self.seed_image + self.seed)


def fit_budget(study: Study, out: Path, minutes: float, *, fresh: bool) -> Study:
    """The study with as many seeds, patients and steps as the minutes hold; a folder that was begun keeps its own.

    Raises:
        ValueError: a study of somebody's images, of which it isn't known what they cost.
    """
    note = out / _NOTE
    if note.exists() and not fresh:
        before = json.loads(note.read_bytes())
        asked, given = parse_study(before["asked"]), parse_study(before["given"])
        if before["minutes"] == minutes and (facts(asked), asked.least_steps) == (facts(study), study.least_steps):
            factors = tuple(replace(f, levels=g.levels) for f, g in zip(study.factors, given.factors, strict=True))
            return replace(study, base=given.base, factors=factors, seeds=given.seeds, budget=given.budget)
    if study.base.get("data.source"):
        raise ValueError("expected a study on phantoms with --budget; set train.steps and seeds of this one yourself")
    say("measuring what a step and an image cost here")
    return scale(study, minutes, measure(study))


def keep_budget(asked: Study, given: Study, out: Path, minutes: float) -> None:
    """Note what a budget has made of a study, for the next time it is started in this folder."""
    note = {"minutes": minutes, "asked": to_toml(asked), "given": to_toml(given)}
    write_text(out / _NOTE, json.dumps(note, indent=1) + "\n")


def scale(study: Study, minutes: float, costs: Costs) -> Study:
    """Seeds are given up before patients, and both before more than half of the steps, where that is worth it."""
    settings, asked = DEFAULTS | study.base, base_settings(study)["train.steps"]
    runs = of_one_seed(study)
    patients, steps = settings["data.patients"], runs[0].settings["train.steps"]
    seeds, seconds = len(study.seeds), 60 * minutes
    most_shots = max(run.settings["evaluate.shots"] for run in runs)
    options = [
        (n, people)
        for people in (patients, patients // 2, patients // 4)
        for n in range(seeds, 0, -1)
        if n >= min(_FEWEST[0], seeds) and people >= min(max(_FEWEST[1], 2 * most_shots), patients)
    ]

    def share(option: tuple[int, int]) -> float:
        return (seconds - costs.overhead(*option)) / (option[0] * costs.training)

    best = max(map(share, options))
    if best > 0:
        n, people = next(option for option in options if share(option) >= min(_ENOUGH, _WORTH * best))
    else:  # it is spent before a step is taken
        n, people = min(options, key=lambda option: costs.overhead(*option))
    kept = min(max(round(steps * min(share((n, people)), 1)), 1), steps)
    needed = min(costs.overhead(*option) + option[0] * costs.training * study.least_steps / steps for option in options)
    words = (
        f"A budget of {minutes:g} minutes: {n} of {seeds} seeds, {people} of {patients} patients, {kept} of {steps} "
        f"steps."
    )
    if best <= 0:
        least = costs.overhead(n, people) + n * costs.training * kept / steps
        words += f" Even this takes about {max(least / 60, 1):.0f} minutes: images cost more than the budget."
    if kept < study.least_steps:
        words += f" The least that can tell takes about {needed / 60:.0f} minutes on this machine."
    say(words)
    ratio = kept / steps
    return replace(
        study,
        base=study.base | {"data.patients": people, "train.steps": max(round(asked * ratio), 1)},
        factors=tuple(_shortened(factor, ratio) for factor in study.factors),
        seeds=study.seeds[:n],
        budget=words,
    )


def _shortened(factor: Factor, ratio: float) -> Factor:
    """Levels that set their steps themselves keep their proportion."""
    levels = {
        name: of | ({"train.steps": max(round(of["train.steps"] * ratio), 1)} if "train.steps" in of else {})
        for name, of in factor.levels.items()
    }
    return replace(factor, levels=levels)


def measure(study: Study) -> Costs:
    """Time a few steps of each configuration, and everything else on a few patients."""
    runs = of_one_seed(study)
    known: dict[tuple[ssl_core.Config, int, str], float] = {}
    training = 0.0
    encoders = {run.name: run for run in runs}
    for run in encoders.values():
        config, side, encoder = config_of(run.settings), run.settings["data.size"], run.settings["pretrain.encoder"]
        few = replace(config, train=replace(config.train, steps=_TIMED + 1))
        if (few, side, encoder) not in known:
            known[few, side, encoder] = _step_seconds(few, side, encoder)
        timed = step_cost(run.settings | {"pretrain.method": "images"}, config)
        cost = run.cost / (timed * run.settings["train.steps"])  # of text, by operations
        training += known[few, side, encoder] * run.settings["train.steps"] * cost
    people = min(_PILOT, (DEFAULTS | study.base)["data.patients"])
    shots = min((DEFAULTS | study.base)["evaluate.shots"], people // 4)
    base = study.base | {"data.patients": people, "train.steps": 1, "evaluate.shots": shots}
    pilot = replace(study, base=base, factors=(), seeds=study.seeds[:1])
    with tempfile.TemporaryDirectory() as folder:
        stages = Stages(Path(folder), "ablate", {})
        run_all(pilot, stages)
        seconds = stages.seconds()
    images = 1.25 * people

    def of(*starts: str) -> float:
        return sum(value for name, value in seconds.items() if name.startswith(starts))

    made, measured = of("phantoms", "shards") / images, of("embed", "probe") / images
    return Costs(training, made, len(encoders) * measured, len(runs) * of("segment"))


def _step_seconds(config: ssl_core.Config, side: int, encoder: str) -> float:
    rng = np.random.default_rng(0)
    some = [torch.from_numpy(rng.integers(0, 65536, (1, side, side), dtype=np.uint16)) for _ in range(64)]
    images = 100 * some  # fewer would be warned of
    with tempfile.TemporaryDirectory() as folder:
        own = hierarchical(encoder, config) if encoder else None
        ends: list[float] = []

        def took(*_: int) -> None:
            ends.append(time.monotonic())

        ssl_core.Trainer(config, images, folder, backbone=own, progress=took).fit()
        return float(np.median(np.diff(ends)))
