"""Recipes and presets, TOML files beside this module, and what is set over them, into a checked configuration.

An unknown key is an error that names the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ssl_core._config import Config
from ssl_core._errors import SslError


def _built_in(folder: str) -> list[str]:
    files = resources.files("ssl_core").joinpath(folder).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def recipes() -> list[str]:
    """Names of the built-in recipes."""
    return _built_in("recipes")


def presets() -> list[str]:
    """Names of the built-in augmentations: what `crops.preset` may be."""
    return _built_in("presets")


def _preset(name: object) -> dict[str, Any]:
    if name not in presets():
        raise SslError(f"crops.preset: expected one of {presets()}, got {name!r}")
    return tomllib.loads(resources.files("ssl_core").joinpath("presets", f"{name}.toml").read_text("utf-8"))


def load_config(recipe: str | Path, overrides: Sequence[str] = ()) -> Config:
    """A built-in recipe or a TOML file, with `section.key=value` overrides in TOML syntax.

    `crops.preset` stands for the keys of an augmentation preset: in a file, the other keys of its section come after
    it; among overrides, those to its right.

    Raises:
        SslError: unknown recipe, unknown key (the nearest valid ones are named), or a value of the wrong type.
    """
    name = str(recipe)
    if name in recipes():
        text = resources.files("ssl_core").joinpath("recipes", f"{name}.toml").read_text("utf-8")
    elif Path(recipe).is_file():
        text = Path(recipe).read_text("utf-8")
    else:
        raise SslError(f"expected a recipe of {recipes()} or the path of a TOML file, got {name!r}")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SslError(f"{name}: expected TOML, got: {error}") from error
    crops = raw.get("crops")
    if isinstance(crops, dict) and "preset" in crops:
        raw["crops"] = _preset(crops.pop("preset")) | crops
    for override in overrides:
        key, equals, value = override.partition("=")
        section, dot, item = key.strip().partition(".")
        if not (equals and dot):
            raise SslError(f"expected an override like optim.base_lr=0.001, got {override!r}")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value.strip()
        values = {item: parsed} if key.strip() != "crops.preset" else _preset(parsed)
        raw.setdefault(section, {}).update(values)
    return _build(raw)


def _nearest(key: str, valid: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, valid, n=3, cutoff=0.4)
    return f"nearest valid: {', '.join(near)}" if near else f"valid: {', '.join(valid)}"


def _build(raw: dict[str, Any]) -> Config:
    hints = typing.get_type_hints(Config)
    every = [f"{s}.{f.name}" for s, kind in hints.items() for f in dataclasses.fields(kind)] + ["crops.preset"]
    sections = {}
    for section, values in raw.items():
        if section not in hints or not isinstance(values, dict):
            raise SslError(f"unknown section {section!r}; {_nearest(section, list(hints))}")
        types_ = typing.get_type_hints(hints[section])
        for key in values:
            if key not in types_:
                raise SslError(f"unknown key {section}.{key}; {_nearest(f'{section}.{key}', every)}")
        checked = {key: _check(f"{section}.{key}", value, types_[key]) for key, value in values.items()}
        sections[section] = hints[section](**checked)
    return Config(**sections)


def _check(key: str, value: Any, kind: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        # A size: one number, or a list of as many as the tuple has.
        kind = next(k for k in typing.get_args(kind) if isinstance(value, list | tuple) == (k is not int))
        return _check(key, value, kind)
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise SslError(f"{key}: expected one of {list(typing.get_args(kind))}, got {value!r}")
        return value
    if origin is tuple:
        parts = typing.get_args(kind)
        if not isinstance(value, list | tuple) or len(value) != len(parts):
            raise SslError(f"{key}: expected a list of {len(parts)} numbers, got {value!r}")
        return tuple(_check(key, item, part) for item, part in zip(value, parts, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SslError(f"{key}: expected {kind.__name__}, got {value!r}")
    return value
