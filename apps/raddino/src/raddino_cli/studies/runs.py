"""A study's runs: which there are, and doing what is missing of them.

A run is an encoder, trained by some settings from one seed, with its features and what was measured of them. Runs share
phantoms, shards and, where levels differ in the evaluation alone, the encoder. What is finished has a stamp; training
and embedding go on within a run.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import ssl_core

from raddino_cli.console import bar, say
from raddino_cli.image_text import training as image_text
from raddino_cli.studies.measuring import FINDINGS, MASK, measure_masks, measure_targets
from raddino_cli.studies.study import DEFAULTS, Settings, Study
from raddino_cli.work import hierarchical
from raddino_cli.work.card import objective
from raddino_cli.work.embedding import embed
from raddino_cli.work.images import Chosen
from raddino_cli.work.leaks import LIST, count_trained
from raddino_cli.work.stages import Finished, Stages, UnfinishedError, named, plain
from raddino_cli.work.targets import CLASSES, DEVICE, NUMBERS
from raddino_cli.work.training import pretrain

_PHANTOM_KEY = "phantoms are nobody: this key is no secret"
_IMAGES_ALONE = ("pretrain.init", "pretrain.manufacturer", "foreign.share", "foreign.balance", "foreign.before")
_RATES = ("optim.base_lr", "optim.min_lr", "text.learning_rate")
_OWN_ENCODER = ("pretrain.method", "pretrain.init", "foreign.before")
Levels = tuple[str, ...]
"""The level of each factor, in their order."""
Measured = dict[str, Any]
"""What `measure_targets` and `measure_masks` found, by target and by mask, the latter after `MASK`."""


@dataclass(frozen=True)
class Run:
    """One encoder and how it is measured."""

    levels: Levels
    seed: int
    settings: Settings
    """All of them, with the steps that it takes."""
    cost: float
    """Floating-point operations of its training."""

    @property
    def name(self) -> str:
        """Of its folder: the same for runs that differ in the evaluation alone."""
        of = {key: value for key, value in self.settings.items() if not key.startswith("evaluate.")}
        digest = sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
        return named(f"seed {self.seed}", digest)

    @property
    def overrides(self) -> list[str]:
        """What is set over the recipe."""
        own = {key: value for key, value in self.settings.items() if key not in DEFAULTS}
        return [f"{key}={json.dumps(value)}" for key, value in (own | {"train.seed": self.seed}).items()]


def combinations(study: Study) -> list[Levels]:
    """Levels of each factor: the base's first, then one factor at a time, or all of the grid."""
    base = tuple(factor.base for factor in study.factors)
    if study.design == "grid":
        every = itertools.product(*(factor.levels for factor in study.factors))
        return [base, *(levels for levels in every if levels != base)]
    found = [base]
    for i, factor in enumerate(study.factors):
        found += [(*base[:i], level, *base[i + 1 :]) for level in factor.levels if level != factor.base]
    return found


def expand(study: Study) -> list[Run]:
    """All runs, seed by seed, so that a study that is stopped early has whole seeds.

    Raises:
        ssl_core.SslError: a key or value that the recipe does not have.
        ValueError: a level that is the same as its base.
    """
    base, *others = [(levels, _settings(study, levels)) for levels in combinations(study)]
    for levels, settings in others:
        if settings == base[1]:
            raise ValueError(
                f"expected levels that differ from their base, {', '.join(levels)} sets nothing of its own"
            )
    budget = _whole_cost(base[1])
    found = [(levels, *_resolved(settings, budget)) for levels, settings in (base, *others)]
    return [Run(levels, seed, settings, cost) for seed in study.seeds for levels, settings, cost in found]


def _settings(study: Study, levels: Levels) -> Settings:
    """Bases first: what one factor's level sets is not undone by another factor's base."""
    chosen = sorted(zip(study.factors, levels, strict=True), key=lambda pair: pair[1] != pair[0].base)
    found = DEFAULTS | study.base
    for factor, level in chosen:
        found |= factor.levels[level]
    return found


def config_of(settings: Settings) -> ssl_core.Config:
    """The recipe with what is set over it."""
    fitting = ssl_core.start_overrides(settings["pretrain.init"]) if settings["pretrain.init"] else []
    own = [f"{key}={json.dumps(value)}" for key, value in settings.items() if key not in DEFAULTS]
    return ssl_core.load_config(settings["pretrain.recipe"], [*fitting, *own])


def base_settings(study: Study) -> Settings:
    """Those of every factor's base, with the steps that were asked for."""
    settings = _settings(study, tuple(factor.base for factor in study.factors))
    return settings | {"train.steps": config_of(settings).train.steps}


def _whole_cost(settings: Settings) -> float:
    """Floating-point operations of a run that takes all of its steps."""
    config = config_of(settings)
    return step_cost(settings, config) * config.train.steps * float(1 + settings["foreign.before"])


def step_cost(settings: Settings, config: ssl_core.Config) -> float:
    """Floating-point operations of a step, of either way to learn."""
    if settings["pretrain.method"] == "text":
        return image_text.step_flops(config, pairs_of(settings))
    if settings["pretrain.encoder"]:
        return hierarchical.step_flops(settings["pretrain.encoder"], config)
    return ssl_core.step_flops(config)["total"]


def pairs_of(settings: Settings) -> image_text.Pairs:
    """How a run learns from reports."""
    return image_text.Pairs(**{name: settings[f"text.{name}"] for name in image_text.Pairs.__dataclass_fields__})


def _resolved(settings: Settings, budget: float) -> tuple[Settings, float]:
    """Settings with the steps that a share or equal compute comes to, and their cost."""
    config = config_of(settings)
    given = [key for key in _IMAGES_ALONE if settings[key] != DEFAULTS[key]] + ["init.weights"] * bool(
        config.init.weights
    )
    if settings["pretrain.method"] == "text" and given:
        raise ValueError(
            f"expected none of {', '.join(given)} with pretrain.method text, which learns from random weights and from "
            "images with reports alone"
        )
    _refuse_beside_encoder(settings, config)
    step = step_cost(settings, config) * (1 + settings["foreign.before"])
    steps = budget / step if settings["pretrain.equal_compute"] else config.train.steps
    steps = max(round(steps * settings["pretrain.steps_share"]), 1)
    still = dict.fromkeys(_RATES, 0.0) if settings["pretrain.steps_share"] == 0 else {}
    return settings | {"train.steps": steps} | still, steps * step


def _refuse_beside_encoder(settings: Settings, config: ssl_core.Config) -> None:
    others = {key: settings[key] for key in _OWN_ENCODER if settings[key] != DEFAULTS[key]}
    others |= {"model.whitening": config.model.whitening} if config.model.whitening else {}
    if settings["pretrain.encoder"] and others:
        raise ValueError(f"pretrain.encoder: expected none of what is for the recipe's encoder, got {others}")


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
    runs = expand(study)
    found = []
    for first in runs[: len(runs) // len(study.seeds)]:
        if first.levels != runs[0].levels and first.name == runs[0].name:
            continue
        ends = [_last_loss(out / "runs" / run.name) for run in runs if run.levels == first.levels]
        listed, settings = out / "runs" / first.name / LIST, first.settings
        seen, textures = count_trained(listed) if listed.exists() else (None, 0)
        found.append(
            Trained(
                levels=first.levels, objective=_objective(settings), images=seen, textures=textures,
                batch_size=batch_size(settings), rate=_rate(settings), steps=settings["train.steps"],
                before=_before(settings), operations=first.cost / runs[0].cost, loss=float(np.mean(ends)),
            )
        )  # fmt: skip
    return found


def _objective(settings: Settings) -> str:
    """Its name, and its own settings."""
    if settings["pretrain.method"] == "text":
        pairs = pairs_of(settings)
        return f"InfoNCE, temperature {pairs.temperature:g} at the start, {pairs.length} words"
    return objective(vars(config_of(settings).loss))


def batch_size(settings: Settings) -> int:
    """Images of a step, of either way to learn."""
    if settings["pretrain.method"] == "text":
        return pairs_of(settings).batch_size
    return config_of(settings).train.batch_size


def _rate(settings: Settings) -> float:
    if settings["pretrain.method"] == "text":
        return pairs_of(settings).learning_rate
    return config_of(settings).peak_lr


def _before(settings: Settings) -> int:
    """Steps on textures alone, before those on the study's images."""
    return round(float(settings["foreign.before"]) * int(settings["train.steps"]))


def _last_loss(folder: Path) -> float:
    log = folder / "metrics.jsonl"
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return float(json.loads(lines[-1])["loss"]) if lines else math.nan


def run_all(study: Study, stages: Stages, *, workers: int | None = None) -> dict[tuple[Levels, int], Measured]:
    """Do what is not done yet; what was measured, by levels and seed."""
    runs = expand(study)
    names = list(dict.fromkeys(run.name for run in runs))
    say(f"{study.title}: {len(names)} encoders for {len(runs)} runs of {len(study.seeds)} seeds")
    found: dict[tuple[Levels, int], Measured] = {}
    shards: dict[str, Path] = {}
    start = time.monotonic()
    left, spent = {run.name: run.cost for run in runs if not stages.has(f"train-{run.name}")}, 0.0
    for done, run in enumerate(runs, 1):
        data = _data_key(run.settings)
        if data not in shards:
            shards[data] = _data(run.settings, stages, workers)
            _check_measures(run.settings, shards[data])
        say(f"run {run.name}: {', '.join(run.levels)}, seed {run.seed}")
        found[run.levels, run.seed] = _one(run, shards[data], stages)
        spent += left.pop(run.name, 0.0)
        if done < len(runs):
            seconds = (time.monotonic() - start) / spent * sum(left.values()) if spent else 0.0
            eta = f", about {timedelta(seconds=round(seconds))} left" if seconds else ""
            say(f"{study.title}: {done} of {len(runs)} runs{eta}")
    return found


def run_encoder(name: str, study: Study, stages: Stages) -> None:
    """Do what is not done yet of the runs that share an encoder."""
    for run in expand(study):
        if run.name == name:
            _one(run, _data(run.settings, stages, None), stages)


def make_data(study: Study, stages: Stages, *, workers: int | None = None) -> None:
    """Make the shards that are not there yet."""
    for settings in {_data_key(run.settings): run.settings for run in expand(study)}.values():
        _check_measures(settings, _data(settings, stages, workers))


def has_data(study: Study, out: Path) -> bool:
    """Whether all shards are there."""
    try:
        make_data(study, Finished(out))
    except UnfinishedError:
        return False
    return True


def unfinished(study: Study, out: Path) -> list[str]:
    """Names of the encoders of which something is not done yet."""
    found = []
    for name in dict.fromkeys(run.name for run in expand(study)):
        try:
            run_encoder(name, study, Finished(out))
        except UnfinishedError:
            found.append(name)
    return found


def _one(run: Run, shards: Path, stages: Stages) -> Measured:
    settings = run.settings
    folder, features = stages.out / "runs" / run.name, stages.out / "runs" / run.name / "features"
    stages.run(f"train-{run.name}", partial(_train, run, shards, folder))
    stages.run(f"embed-{run.name}", partial(_embed, shards, folder, features, bool(settings["evaluate.masks"])))
    found: Measured = {}
    if probes := settings["evaluate.probes"]:
        names = list(dict.fromkeys(name for words in probes for name in words.split("+")))
        stage = named(f"probe {run.name}", names)
        found |= stages.run(stage, partial(measure_targets, features, names))
    evaluation = {key: value for key, value in settings.items() if key.startswith("evaluate.")}
    for mask in settings["evaluate.masks"]:
        stage = named(f"segment {run.name} {mask}", sorted(evaluation.items()))
        dice = stages.run(stage, partial(measure_masks, features, shards, mask, settings, run.seed))
        found |= {MASK + name: of for name, of in dice.items()}
    return found


def _train(run: Run, shards: Path, folder: Path) -> None:
    s = run.settings
    if s["pretrain.method"] == "text":
        config = ssl_core.load_config(s["pretrain.recipe"], run.overrides)
        with bar("image-text") as tell:
            image_text.train(shards, folder, config, pairs_of(s), share=s["pretrain.share"], progress=tell)
        return
    init = Path(s["pretrain.init"]) if s["pretrain.init"] else None
    if before := _before(s):
        first = folder / "before"
        words = [*run.overrides, f"train.steps={before}"]
        pretrain(shards, first, s["pretrain.recipe"], words, init=init, chosen=Chosen(foreign=1.0))
        init = first
    chosen = Chosen(s["pretrain.share"], s["pretrain.manufacturer"], s["foreign.share"], s["foreign.balance"])
    encoder = s["pretrain.encoder"]
    pretrain(shards, folder, s["pretrain.recipe"], run.overrides, init=init, chosen=chosen, encoder=encoder)


def _embed(shards: Path, folder: Path, features: Path, patches: bool) -> int:
    with bar("embed") as tell:
        return embed(shards, str(folder), features, patches=patches, progress=tell)


def _data_key(settings: Settings) -> str:
    """The same for settings that have the same shards."""
    return str({key: value for key, value in settings.items() if key.startswith("data.")})


def _data(settings: Settings, stages: Stages, workers: int | None) -> Path:
    """The shards of some settings, made of phantoms that all sizes share unless there is a source."""
    import cxr_io
    import cxr_phantom

    data = {key.removeprefix("data."): value for key, value in settings.items() if key.startswith("data.")}
    side, place = data["size"], stages.out / "data"
    rendered = max(data["rendered"] or side, 64)
    phantoms = place / f"phantoms-{data['patients']}-{data['seed']}-{rendered}"
    source = Path(data["source"]) if data["source"] else phantoms

    def make() -> int:
        with bar("phantoms") as tell:
            return cxr_phantom.generate(
                phantoms, patients=data["patients"], seed=data["seed"], size=rendered, workers=workers, progress=tell
            )

    def ingest() -> dict[str, Any]:
        key = next(_keys(place), None) if data["source"] else _PHANTOM_KEY
        with bar("ingest") as tell:
            summary = cxr_io.ingest(
                source, shards, labels=data["labels"] or None, short_side=side, workers=workers, key=key, progress=tell
            )
        return vars(summary)

    if not data["source"]:
        stages.run(phantoms.name, make)
    shards = place / named(f"shards {side}", source.name, data)
    stages.run(shards.name, ingest)
    return shards


def _check_measures(settings: Settings, shards: Path) -> None:
    """Before hours of training: whether what is to be measured is there.

    Raises:
        ValueError: it isn't, and what is.
    """
    import cxr_io

    row: dict[str, Any] = {}
    makers, masks = set[str](), set[str]()
    for row in cxr_io.read_table(shards):
        makers.add(row["manufacturer"])
        masks |= set(row["masks"] or ())
    labels = [name.removeprefix("label.") for name in row if name.startswith("label.")]  # columns, the same in all rows
    devices = [f"{DEVICE}={maker}" for maker in sorted(maker for maker in makers if maker)]
    known = [FINDINGS, *sorted(labels), *CLASSES, *NUMBERS, *devices]
    for name in (name for words in settings["evaluate.probes"] for name in words.split("+")):
        if plain(name) not in map(plain, known):
            raise ValueError(f"evaluate.probes: expected one of {', '.join(known)}; got {name!r}")
    for name in settings["evaluate.masks"]:
        if name.partition(":")[0] not in masks:
            raise ValueError(f"evaluate.masks: expected one of {', '.join(sorted(masks)) or 'none'}; got {name!r}")
    if (maker := settings["pretrain.manufacturer"]) not in ("", *makers):
        raise ValueError(f"pretrain.manufacturer: expected the maker in one of {', '.join(devices)}; got {maker!r}")


def _keys(place: Path) -> Iterator[str]:
    """The secret of shards that there are, for others of the same archive, so that patients stay the same."""
    import cxr_io

    for path in sorted(place.glob("shards-*.key")):
        yield cxr_io.read_key(path)
