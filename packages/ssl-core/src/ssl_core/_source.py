"""Weights that somebody trained, read from wherever they lie, with what they tell about their encoder.

Nothing in a file is executed: safetensors, JSON, and pickles of tensors alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_core._errors import SslError
from ssl_core._files import read_tensors
from ssl_core._hf import read_shape
from ssl_core._lora import merge_adapters
from ssl_core._names import State, from_dinov2, from_timm, from_transformers
from ssl_core._recipes import load_config
from ssl_core._sizes import patch_grid
from ssl_core._volume_folder import MODEL_TYPE, volume_config

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation that natural-image encoders expect, dinov2's among them."""


@dataclass(frozen=True)
class Source:
    """An encoder's weights under our names, and heads where there are some."""

    path: Path
    backbone: State
    heads: State
    """`dino_head.*` and `ibot_head.*`."""
    shape: dict[str, Any]
    """Keys of `ModelConfig` that the files state; `num_heads` only where a configuration lies beside the weights."""
    grid: tuple[int, ...]
    """Patches along each axis that there are positions for."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    filled: list[str] = field(default_factory=list)
    """Keys that the file has not and that were given the value that stands for their absence."""
    unused: list[str] = field(default_factory=list)
    """Keys of the file that an encoder has no place for: a classifier."""


def read_source(path: str | Path) -> Source:
    """The weights at `path`.

    Args:
        path: a run of ssl-core (its newest teacher, with heads); a folder of transformers (Dinov2Model,
            with registers or without) or timm; or a file: dinov2's released weights or teacher checkpoint (`.pth`),
            safetensors. `preprocessor_config.json` or timm's `config.json` beside a file says what pixels it expects;
            without one it is ImageNet's mean and deviation.

    Raises:
        SslError: nothing there, not weights, or names of another architecture.
    """
    path = Path(path)
    teacher = path / "checkpoints" / "teacher.safetensors"
    if teacher.is_file():
        return _read_run(path, teacher)
    file = _weights_file(path / "encoder" if (path / "encoder").is_dir() else path)
    facts, processor = (_read_json(file.parent / name) for name in ("config.json", "preprocessor_config.json"))
    state = read_state(file)
    shape: dict[str, Any] = {}
    heads: State = {}
    filled: list[str] = []
    if any(name.startswith("embeddings.") for name in state):
        backbone = from_transformers(state)
        if "mask_token" not in backbone and "cls_token" in backbone:
            backbone["mask_token"] = torch.zeros_like(backbone["cls_token"][0])
            filled = ["mask_token"]
        vit = read_shape(facts, file.parent)
        shape = {"num_heads": vit.num_heads, "pos_offset": vit.pos_offset, "pos_antialias": vit.pos_antialias}
    else:
        backbone, heads = from_dinov2(state)
        if "cls_token" in backbone and "mask_token" not in backbone:
            backbone, filled = from_timm(backbone)
    unused = sorted(name for name in backbone if name.startswith(("head.", "classifier.")))
    backbone = {name: tensor for name, tensor in backbone.items() if name not in unused}
    shape = _shape(file, backbone) | shape
    settings = processor or facts.get("pretrained_cfg", facts)
    channels = shape["channels"]
    mean = tuple(settings.get("image_mean") or settings.get("mean") or IMAGENET[0])
    std = tuple(settings.get("image_std") or settings.get("std") or IMAGENET[1])
    if len(mean) != channels or len(std) != channels:
        raise SslError(
            f"{path}: expected the mean and deviation of {channels} channels, got {list(mean)} and {list(std)}; "
            "put a preprocessor_config.json with image_mean and image_std beside the weights"
        )
    grid: tuple[int, ...] = (round((backbone["pos_embed"].shape[1] - 1) ** 0.5),) * 2
    if facts.get("model_type") == MODEL_TYPE:
        vit = volume_config(facts, file.parent)
        grid, shape["num_heads"] = vit.grid, vit.num_heads
    return Source(path, backbone, heads, shape, grid, mean, std, filled, unused)


def read_head(path: str | Path) -> State:
    """A released projection head, such as RAD-DINO's, as `dino_head.*`; a file with both heads keeps its names.

    Raises:
        SslError: not there, or no head.
    """
    state = read_state(Path(path))
    if not any(name.startswith(("dino_head.", "ibot_head.")) for name in state):
        state = {f"dino_head.{name}": tensor for name, tensor in state.items()}
    heads = from_dinov2(state)[1]
    if "dino_head.last_layer.weight_v" not in heads:
        raise SslError(
            f"{path}: expected a DINO head (mlp.0.weight, last_layer.weight_v, ...), got {sorted(state)[:5]}"
        )
    return heads


def read_state(path: Path) -> State:
    """Tensors by name from safetensors or a pickle of tensors; a checkpoint's `teacher` or `model` is taken.

    Raises:
        SslError: not there, damaged, or a pickle that holds more than tensors.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no such pickle fail in any way
        raise SslError(
            f"{path}: expected weights, safetensors or a pickle of tensors alone, got what can't be read as such "
            f"({type(error).__name__}: {str(error).splitlines()[0]})"
        ) from error
    for key in ("teacher", "model", "state_dict"):
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
            break
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise SslError(f"{path}: expected tensors by name, also under teacher, model or state_dict; got other things")
    return {str(name).removeprefix("module."): tensor for name, tensor in held.items()}


def _read_run(path: Path, teacher: Path) -> Source:
    config = load_config(path / "config.toml")
    backbone, heads = from_dinov2(read_state(teacher))
    backbone = merge_adapters(backbone, config.lora)
    m, crops = config.model, config.crops
    grid = patch_grid(crops.global_size, m.patch_size, "crops.global_size")
    shape = {"num_heads": m.num_heads, "pos_offset": m.pos_offset, "pos_antialias": m.pos_antialias}
    mean, std = ((value,) * m.channels for value in (crops.mean, crops.std))
    return Source(path, backbone, heads, _shape(teacher, backbone) | shape, grid, mean, std)


def _weights_file(path: Path) -> Path:
    if path.is_file():
        return path
    names = ("model.safetensors", "pytorch_model.bin")
    found = [path / name for name in names if (path / name).is_file()]
    if not found:
        what = f"a folder without {' or '.join(names)}" if path.is_dir() else "nothing there"
        raise SslError(f"{path}: expected weights (a file, a folder of transformers or timm, or a run), got {what}")
    return found[0]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise SslError(f"{path}: expected JSON ({error})") from error
    return value if isinstance(value, dict) else {}


def _shape(file: Path, state: State) -> dict[str, Any]:
    """The fields of `ModelConfig` that tensors tell by their names and sizes."""
    needed = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.weight")
    lacking = [name for name in needed if name not in state]
    if lacking:
        raise SslError(
            f"{file}: expected a vision transformer under the names of dinov2, transformers or timm, "
            f"got none of {', '.join(lacking)} among {sorted(state)[:5]}"
        )
    patches = state["patch_embed.proj.weight"]
    kernel = tuple(patches.shape[2:])
    dim = state["cls_token"].shape[-1]
    gated = "blocks.0.mlp.w12.weight" in state
    hidden = state["blocks.0.mlp.w3.weight"].shape[1] * 3 // 2 if gated else state["blocks.0.mlp.fc1.weight"].shape[0]
    registers = state["register_tokens"].shape[1] if "register_tokens" in state else 0
    return {
        "embed_dim": dim,
        "depth": 1 + max(int(found[1]) for name in state if (found := re.match(r"blocks\.(\d+)\.", name))),
        "patch_size": kernel[0] if len(kernel) == 2 else kernel,
        "mlp_ratio": float(hidden // dim),
        "ffn": "swiglu" if gated else "mlp",
        "registers": registers,
        "channels": patches.shape[1],
        # The rule by which dinov2 trained its models, and released those with registers.
        "pos_offset": 0.0 if registers else 0.1,
        "pos_antialias": registers > 0,
    }
