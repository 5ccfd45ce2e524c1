"""What a training is a function of, besides data and seed: TOML files beside this module, with typed keys."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from raddino_reportgen._errors import ReportError


@dataclass(frozen=True)
class Recipe:
    """One run.

    `projector` is an MLP of `projector_layers` linear layers with GELU between them, as in LLaVA 1.5 and MAIRA-2, or a
    resampler to `queries` tokens. `adapt` says what of the language model is trained: all of it, LoRA's matrices, or
    nothing. `width`, `depth`, `heads` and `vocabulary` shape the small Llama that is made where no language model is
    given. `prompt` has `{image}` and may have names of sections in braces; a section that a report lacks is left out
    with the words of its line, and so are `{lateral}` and `{prior}`, further images. Lengths are in tokens; with `pack`
    above 0 examples share rows of so many, unseen by each other. `learning_rate` is the highest after `warmup` steps
    and falls as a cosine.
    """

    projector: Literal["mlp", "resampler"] = "mlp"
    projector_layers: int = 4
    queries: int = 32
    adapt: Literal["full", "lora", "frozen"] = "full"
    lora_rank: int = 16
    width: int = 128
    depth: int = 4
    heads: int = 4
    vocabulary: int = 1024
    prompt: str = "{image}\nIndication: {indication}\nFindings:"
    section: str = "findings"
    max_report: int = 160
    pack: int = 0
    steps: int = 1000
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.05
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: int = 200
    seed: int = 0


def recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by its name or of a TOML file, with overrides such as `steps=100`.

    An unknown key, or a value of another type, is a `ReportError` that names the key and what was expected.
    """
    path = _folder() / f"{name}.toml" if str(name) in recipes() else Path(name)
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReportError(
            f"expected a recipe of {', '.join(recipes())}, or a TOML file; got {name}: {error}"
        ) from error
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator:
            raise ReportError(f"expected an override such as steps=100, got {text!r}")
        values[key.strip()] = _literal(value.strip())
    return Recipe(**{key: _checked(key, value) for key, value in values.items()})


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe's keys and values, all of them."""
    return asdict(recipe)


def _folder() -> Any:
    return files("raddino_reportgen.model") / "recipes"


def _literal(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _checked(key: str, value: Any) -> Any:
    hints = get_type_hints(Recipe)
    names = [field.name for field in fields(Recipe)]
    if key not in names:
        near = difflib.get_close_matches(key, names, 1)
        raise ReportError(f"expected a key of a recipe, got {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    hint = hints[key]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ReportError(f"expected {key} of {', '.join(get_args(hint))}; got {value!r}")
    elif hint is float and type(value) is int:
        value = float(value)
    elif type(value) is not hint:
        raise ReportError(f"expected {key} as {hint.__name__}, got {value!r}")
    if isinstance(value, int | float) and key not in ("seed", "warmup", "weight_decay", "pack") and value <= 0:
        raise ReportError(f"expected {key} above 0, got {value}")
    return value
