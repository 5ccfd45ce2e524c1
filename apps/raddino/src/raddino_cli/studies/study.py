"""A study as data: what all runs have in common, what differs, what is measured, what is claimed.

Settings are one flat table of dotted keys: `data.*`, `pretrain.*`, `foreign.*`, `text.*` and `evaluate.*` as in
`DEFAULTS`, all others those of a recipe of ssl_core. `base` holds for every run, a factor's level is what it sets over
that.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from raddino_cli.work.stages import plain

Settings = dict[str, Any]
DESIGNS = ("one at a time", "grid")
EXPECTED = ("better", "worse")
METHODS = ("images", "text")
DEFAULTS: Settings = {
    "data.source": "",
    "data.labels": "",
    "data.patients": 1000,
    "data.seed": 0,
    "data.rendered": 0,
    "data.size": 128,
    "pretrain.method": "images",
    "pretrain.recipe": "cpu-tiny",
    "pretrain.encoder": "",
    "pretrain.init": "",
    "pretrain.share": 1.0,
    "pretrain.steps_share": 1.0,
    "pretrain.manufacturer": "",
    "foreign.share": 0.0,
    "foreign.balance": False,
    "foreign.before": 0.0,
    "pretrain.equal_compute": False,
    "text.batch_size": 64,
    "text.learning_rate": 0.001,
    "text.temperature": 0.07,
    "text.mentions": False,
    "text.width": 128,
    "text.layers": 2,
    "text.shared": 128,
    "text.length": 96,
    "evaluate.probes": ["findings", "sex", "age"],
    "evaluate.masks": ["lungs"],
    "evaluate.decoder": "linear",
    "evaluate.shots": 0,
    "evaluate.steps": 150,
}
"""What a study may set besides a recipe's keys, and what it is where it doesn't.

`data.rendered` is the size of phantoms before ingest (0: `data.size`); `pretrain.encoder` a model of timm in place of
the recipe's (`Hierarchical` of raddino_cli.work); `pretrain.share` the share of patients that are trained on,
`pretrain.steps_share` that of the steps (0: one without a learning rate, which leaves the weights as they start),
`pretrain.manufacturer` the devices; `foreign.share` of the patients' images are replaced by as many textures, which are
seen as often as the rest with `foreign.balance`, and before all that so many times its steps, `foreign.before`, a run
is trained on textures alone; `pretrain.method` "text" learns from reports, as `text.*` says (`Pairs` of
raddino_cli.image_text); with `pretrain.equal_compute` all steps of a run cost what all steps of the base cost. A probe
is "findings" (the mean over all labels), a target of `raddino probe`, or several with "+" between, for their mean.
`evaluate.shots` 0 is all masks.
"""
_RANGES = {
    "data.patients": (1, math.inf),
    "data.rendered": (0, math.inf),
    "data.size": (1, math.inf),
    "pretrain.share": (1e-6, 1),
    "pretrain.steps_share": (0, math.inf),
    "foreign.share": (0, 1),
    "foreign.before": (0, math.inf),
    "text.batch_size": (2, math.inf),
    "text.length": (1, math.inf),
    "evaluate.shots": (0, math.inf),
    "evaluate.steps": (1, math.inf),
}
_TYPES: dict[str, tuple[type, str]] = {
    "title": (str, "words"),
    "question": (str, "words"),
    "budget": (str, "words"),
    "design": (str, "words"),
    "seeds": (list, "a list of whole numbers"),
    "least_steps": (int, "a whole number"),
    "base": (dict, "a table"),
    "factors": (list, "tables, [[factors]]"),
}
_SHARED = ("data.source", "data.labels", "data.patients", "data.seed", "data.rendered")
"""Levels may not differ in these, for then their test patients would."""


@dataclass(frozen=True)
class Claim:
    """What somebody says a level does: it is `expect`, "better" or "worse", than the factor's base in `on`."""

    text: str
    level: str
    on: str
    expect: str


@dataclass(frozen=True)
class Factor:
    """What differs: levels by name, each with the settings that make it, compared with the level `base`.

    `scale` is a setting that grows over the levels: a power law of it is fitted to them.
    """

    name: str
    base: str
    levels: dict[str, Settings]
    claims: tuple[Claim, ...] = ()
    scale: str = ""


@dataclass(frozen=True)
class Study:
    """One question. Below `least_steps` of training nothing has been learnt that could differ."""

    title: str
    question: str
    base: Settings
    factors: tuple[Factor, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    design: str = "one at a time"
    least_steps: int = 1
    budget: str = ""
    """What a budget of time has made of the study, in words."""


def built_in() -> list[str]:
    """Names of the studies that come with the command."""
    library = files("raddino_cli.studies").joinpath("library")
    return sorted(path.name.removesuffix(".toml") for path in library.iterdir())


def load_study(source: str) -> Study:
    """A built-in study by its name, or one from a TOML file.

    Raises:
        ValueError: no such study, unknown keys (the nearest are named), or what doesn't fit together.
    """
    if source in built_in():
        text = files("raddino_cli.studies").joinpath("library", f"{source}.toml").read_text("utf-8")
    elif Path(source).is_file():
        text = Path(source).read_text("utf-8")
    else:
        raise ValueError(f"expected a TOML file or a study of {', '.join(built_in())}; got {source!r}")
    try:
        return parse_study(text)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def parse_study(text: str) -> Study:
    """A study from TOML.

    Raises:
        ValueError: as `load_study`.
    """
    try:
        return _study(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"expected TOML: {error}") from error


def to_toml(study: Study) -> str:
    """The study as a file that reads back as the same."""
    own = {name: getattr(study, name) for name in ("title", "question", "design", "seeds", "least_steps", "budget")}
    parts = ["\n".join(f"{name} = {_value(value)}" for name, value in own.items() if value != "")]
    parts.append("\n".join(["[base]", *(f"{key} = {_value(value)}" for key, value in study.base.items())]))
    for factor in study.factors:
        lines = ["[[factors]]", f"name = {_value(factor.name)}", f"base = {_value(factor.base)}"]
        lines += [f"scale = {_value(factor.scale)}"] if factor.scale else []
        lines += ["[factors.levels]", *(f"{_value(name)} = {_inline(of)}" for name, of in factor.levels.items())]
        for claim in factor.claims:
            lines += ["[[factors.claims]]", *(f"{key} = {_value(value)}" for key, value in vars(claim).items())]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _study(raw: dict[str, Any]) -> Study:
    _known("the study", raw, Study)
    _check_types(raw)
    for name in ("title", "base", "factors"):
        if not raw.get(name):
            raise ValueError(f"expected {name!r} in the study")
    factors = tuple(_factor(entry) for entry in raw.pop("factors"))
    base = _settings(raw.pop("base"))
    study = Study(**{"question": "", **raw, "seeds": tuple(raw.get("seeds", Study.seeds))}, base=base, factors=factors)
    if study.design not in DESIGNS:
        raise ValueError(f"design: expected one of {', '.join(DESIGNS)}; got {study.design!r}")
    if not study.seeds or len(set(study.seeds)) != len(study.seeds):
        raise ValueError(f"seeds: expected different numbers, got {list(study.seeds)}")
    names = [plain(factor.name) for factor in factors]
    if len(set(names)) < len(names):
        raise ValueError(f"expected factors of different names, got {', '.join(factor.name for factor in factors)}")
    measured = outcomes(study)
    _check_outcomes(DEFAULTS | study.base)
    for factor in study.factors:
        for claim in factor.claims:
            if claim.on not in measured:
                raise ValueError(f"claim {claim.text!r}: expected 'on' one of {', '.join(measured)}; got {claim.on!r}")
    return study


def _check_types(raw: dict[str, Any]) -> None:
    for name, (kind, words) in _TYPES.items():
        value = raw.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ValueError(f"{name}: expected {words}, got {value!r}")
    if not all(isinstance(seed, int) and seed >= 0 for seed in raw.get("seeds", [])):
        raise ValueError(f"seeds: expected whole numbers from 0 on, got {raw['seeds']}")
    if not all(isinstance(factor, dict) for factor in raw.get("factors", [])):
        raise ValueError("factors: expected tables, [[factors]]")


def facts(study: Study) -> dict[str, Any]:
    """What the runs are a function of, setting by setting, so that a change can be named; words may change."""
    found: dict[str, Any] = {"design": study.design, "seeds": list(study.seeds)}
    found |= {f"base {key}": value for key, value in study.base.items()}
    for factor in study.factors:
        found[f"base of {factor.name}"] = factor.base
        found |= {f"level {factor.name}={level}": of for level, of in factor.levels.items()}
    return found


def _check_outcomes(settings: Settings) -> None:
    probed = {plain(name) for words in settings["evaluate.probes"] for name in words.split("+")}
    if "manufacturer" in probed:
        raise ValueError("evaluate.probes: expected one maker of devices, as 'manufacturer=GE'; got 'manufacturer'")
    if both := [name for name in settings["evaluate.masks"] if plain(name) in probed]:
        raise ValueError(f"expected what is measured to differ in name, got {', '.join(both)} as probe and as mask")


def tables(study: Study) -> list[Settings]:
    """All that is set: in the base, then in each level."""
    return [study.base, *(of for factor in study.factors for of in factor.levels.values())]


def outcomes(study: Study) -> list[str]:
    """What is measured of each run: probes, then masks."""
    everything = DEFAULTS | study.base
    return [*everything["evaluate.probes"], *everything["evaluate.masks"]]


def is_untrained(factor: Factor, level: str) -> bool:
    """Whether a level is the base with its weights as they start."""
    return level != factor.base and factor.levels[level] == factor.levels[factor.base] | {"pretrain.steps_share": 0}


def scale_of(factor: Factor, level: str) -> float:
    """The number that grows over a factor's levels."""
    return float(factor.levels[level][factor.scale])


def _factor(raw: dict[str, Any]) -> Factor:
    _known("a factor", raw, Factor)
    name, base = raw.get("name", ""), raw.get("base", "")
    for level, of in raw.get("levels", {}).items():
        if not isinstance(of, dict):
            raise ValueError(f"factor {name!r}, level {level!r}: expected a table of settings, got {of!r}")
    levels = {level: _settings(of) for level, of in raw.get("levels", {}).items()}
    if not name or base not in levels or len(levels) < 2:
        raise ValueError(f"factor {name!r}: expected a name, two levels or more, and a base among them; got {base!r}")
    for level, of in levels.items():
        for key in of:
            if key in _SHARED or key in ("evaluate.probes", "evaluate.masks"):
                raise ValueError(f"factor {name!r}, level {level!r}: {key} must be the same for all; set it in [base]")
    claims = []
    for entry in raw.get("claims", []):
        _known("a claim", entry, Claim)
        claim = Claim(**{field.name: entry.get(field.name, "") for field in fields(Claim)})
        if claim.level not in levels or claim.level == base or claim.expect not in EXPECTED:
            raise ValueError(
                f"claim {claim.text!r}: expected a level other than the base and 'better' or 'worse'; got "
                f"{claim.level!r} and {claim.expect!r}"
            )
        claims.append(claim)
    scale = raw.get("scale", "")
    if scale and any(not isinstance(of.get(scale), int | float) or of[scale] <= 0 for of in levels.values()):
        raise ValueError(f"factor {name!r}: expected a number above 0 for {scale} in every level")
    return Factor(name, base, levels, tuple(claims), scale)


def _settings(raw: dict[str, Any]) -> Settings:
    """Nested tables as dotted keys; those of `DEFAULTS` are checked, a recipe's are checked with the recipe."""
    found: Settings = {}
    for key, value in raw.items():
        inner = {f"{key}.{name}": of for name, of in _settings(value).items()} if isinstance(value, dict) else {}
        found |= inner or {key: value}
    for key, value in found.items():
        if key.partition(".")[0] not in ("data", "pretrain", "foreign", "text", "evaluate") or "." not in key:
            continue
        if key not in DEFAULTS:
            near = ", ".join(difflib.get_close_matches(key, DEFAULTS, 3, 0.3))
            raise ValueError(f"unknown key {key}; nearest: {near}")
        kind = type(DEFAULTS[key])
        if not isinstance(value, kind) and not (kind is float and isinstance(value, int)):
            raise ValueError(f"{key}: expected {kind.__name__}, got {value!r}")
        low, high = _RANGES.get(key, (-math.inf, math.inf))
        if kind in (int, float) and not low <= value <= high:
            raise ValueError(f"{key}: expected a number from {low:g} to {high:g}, got {value!r}")
    if (decoder := found.get("evaluate.decoder")) and decoder not in _decoders():
        raise ValueError(f"evaluate.decoder: expected one of {', '.join(_decoders())}; got {decoder!r}")
    if found.get("pretrain.method", "images") not in METHODS:
        raise ValueError(f"pretrain.method: expected one of {', '.join(METHODS)}; got {found['pretrain.method']!r}")
    return found


def _decoders() -> tuple[str, ...]:
    import raddino_seg  # with torch, which `raddino ablate list` does without

    return raddino_seg.DECODERS


def _known(what: str, raw: dict[str, Any], kind: type) -> None:
    names = [field.name for field in fields(kind)]
    for key in raw:
        if key not in names:
            raise ValueError(f"unknown key {key!r} in {what}; expected of {', '.join(names)}")


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _inline(settings: Settings) -> str:
    return "{" + ", ".join(f"{key} = {_value(value)}" for key, value in settings.items()) + "}"
