"""Weights from a file: safetensors, or PyTorch's pickles under `weights_only`, which build tensors and run nothing."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Collection, Iterator
from hashlib import file_digest
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from raddino_encoders._errors import EncoderError, check_fit

State = dict[str, Tensor]
_NESTS = ("model", "state_dict")


class _Shell:
    """Stands in for a class that a pickle names: it takes the attributes, and has no code of its own."""


def _shells(names: Collection[str]) -> list[tuple[type, str]]:
    return [(type(name.rpartition(".")[2], (_Shell,), {}), name) for name in names]


def read_weights(path: Path, classes: Collection[str] = ()) -> State:
    """The tensors of a `.safetensors` file or of a PyTorch pickle, by name; `{"model": ...}` is unwrapped.

    Args:
        path: the file.
        classes: full names of the classes of a pickled module, each of which an empty shell stands in for.

    Raises:
        EncoderError: no such file, damaged, no weights in it, or a pickle that names anything else.
    """
    if not path.is_file():
        near = ", ".join(sorted(p.name for p in path.parent.glob("*"))[:8]) if path.parent.is_dir() else ""
        raise EncoderError(f"{path}: expected a file of weights, found none; in its folder: {near or 'nothing'}")
    if path.suffix == ".safetensors":
        try:
            state: State = safetensors.torch.load_file(path)
            return state
        except (OSError, safetensors.SafetensorError) as error:
            raise EncoderError(f"{path}: expected a safetensors file ({error})") from error
    # An argparse.Namespace is what training scripts put beside the weights; it holds values and runs nothing.
    allowed: list[Any] = [argparse.Namespace, *_shells(classes)]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).partition("WeightsUnpickler error:")[2].split()).partition(" by default")[0]
        raise EncoderError(
            f"{path}: expected a pickle of tensors, got one that asks for more or is damaged, and is not loaded, for "
            f"it could run code ({reason[:200] or 'unknown form'}); convert it to safetensors where you trust it"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise EncoderError(f"{path}: expected weights that PyTorch saved ({error})") from error
    state = _tensors(content)
    if not state:
        raise EncoderError(f"{path}: expected tensors by name, found none; give the file of weights")
    return state


def _tensors(content: Any) -> State:
    if isinstance(content, _Shell):
        return dict(_walk(content, ""))
    if isinstance(content, dict):
        nested = next((content[name] for name in _NESTS if isinstance(content.get(name), dict)), content)
        return {str(name): value for name, value in nested.items() if isinstance(value, Tensor)}
    return {}


def _walk(shell: _Shell, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of a module that was pickled whole, named as its `state_dict` names them."""
    held = vars(shell)
    for place in ("_parameters", "_buffers"):
        for name, value in dict(held.get(place) or {}).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value.detach()
    for name, child in dict(held.get("_modules") or {}).items():
        if isinstance(child, _Shell):
            yield from _walk(child, f"{prefix}{name}.")


def fill(model: nn.Module, state: State, source: object) -> None:
    """Load weights that fit exactly.

    Raises:
        EncoderError: keys that don't fit, each listed.
    """
    expected = model.state_dict()
    # Batch counters exist since PyTorch 0.4.1 and matter in training only.
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected.keys() & state.keys()
        if expected[key].shape != state[key].shape
    ]
    check_fit(source, expected.keys() - state.keys() - counters, state.keys() - expected.keys(), shapes)
    model.load_state_dict(state, strict=False)


def without(state: State, prefixes: tuple[str, ...]) -> State:
    """The weights less those of parts that an encoder has no use for, such as classifiers and decoders."""
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


def fingerprint(path: Path) -> str:
    """`sha256:` and the digest of a file: the revision of what has no other."""
    with path.open("rb") as file:
        return f"sha256:{file_digest(file, 'sha256').hexdigest()}"
