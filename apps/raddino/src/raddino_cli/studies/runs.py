"""A study's runs: which there are, by what settings, and what they cost.

A run is an encoder, trained by some settings from one seed, with its features and what was measured of them. Runs share
phantoms, shards and, where levels differ in the evaluation alone, the encoder.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from hashlib import sha256

import ssl_core

from raddino_cli.image_text import training as image_text
from raddino_cli.studies.study import DEFAULTS, Settings, Study
from raddino_cli.work import hierarchical
from raddino_cli.work.stages import named

_IMAGES_ALONE = ("pretrain.init", "pretrain.manufacturer", "foreign.share", "foreign.balance", "foreign.before")
_RATES = ("optim.base_lr", "optim.min_lr", "text.learning_rate")
_OWN_ENCODER = ("pretrain.method", "pretrain.init", "foreign.before")
Levels = tuple[str, ...]
"""The level of each factor, in their order."""


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


def of_one_seed(study: Study) -> list[Run]:
    """A run of each combination of levels, the base's first."""
    return expand(replace(study, seeds=study.seeds[:1]))


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


def batch_size(settings: Settings) -> int:
    """Images of a step, of either way to learn."""
    if settings["pretrain.method"] == "text":
        return pairs_of(settings).batch_size
    return config_of(settings).train.batch_size


def steps_before(settings: Settings) -> int:
    """Steps on textures alone, before those on the study's images."""
    return round(float(settings["foreign.before"]) * int(settings["train.steps"]))
