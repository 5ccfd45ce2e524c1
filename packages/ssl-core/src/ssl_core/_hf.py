"""The `encoder/` folder of a run, which transformers loads as a Dinov2Model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_core._config import CropConfig
from ssl_core._errors import SslError
from ssl_core._files import read_tensors, write_bytes, write_tensors
from ssl_core._names import check_fit, from_transformers, to_transformers
from ssl_core._pos_embed import interpolate_pos_embed
from ssl_core._sizes import patch_grid
from ssl_core._vit import VisionTransformer, ViTConfig
from ssl_core._volume_folder import MODEL_TYPE, save_volume_encoder, volume_config


def save_encoder(
    model: VisionTransformer, crops: CropConfig, folder: Path, *, state: dict[str, Tensor] | None = None
) -> None:
    """Write `model.safetensors`, `config.json` and `preprocessor_config.json` for AutoModel and AutoImageProcessor.

    Positions are stored for the size at which the encoder is used, resized by the model's own rule: transformers has
    another one, so that features agree at that size alone. `state` goes in place of the model's own.
    """
    c = model.config
    state = dict(model.state_dict() if state is None else state)
    if not (isinstance(c.patch_size, int) and isinstance(c.image_size, int)):
        save_volume_encoder(c, state, crops, folder)
        return
    size = crops.encode_size or crops.global_size
    config = {
        "architectures": ["Dinov2WithRegistersModel" if c.registers else "Dinov2Model"],
        "model_type": "dinov2_with_registers" if c.registers else "dinov2",
        "hidden_size": c.embed_dim,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.num_heads,
        "mlp_ratio": int(c.mlp_ratio),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "layerscale_value": c.layerscale,
        "drop_path_rate": c.drop_path,
        "qkv_bias": True,
        "use_swiglu_ffn": c.ffn == "swiglu",
        "image_size": size,
        "patch_size": c.patch_size,
        "num_channels": c.channels,
        "initializer_range": c.init_std,
        "sincos": c.sincos,
        "pos_offset": c.pos_offset,
        "pos_antialias": c.pos_antialias,
        **({"num_register_tokens": c.registers} if c.registers else {}),
    }
    grid = patch_grid(size, c.patch_size, "the encoder's size")
    state["pos_embed"] = interpolate_pos_embed(
        state["pos_embed"], grid, learned=c.grid, offset=c.pos_offset, antialias=c.pos_antialias
    )
    save_weights(to_transformers(state), crops, c.channels, folder)
    write_bytes(folder / "config.json", json.dumps(config, indent=2).encode())


def save_weights(state: dict[str, Tensor], crops: CropConfig, channels: int, folder: Path) -> None:
    """Write `model.safetensors` and what the encoder expects of pixels, `preprocessor_config.json`."""
    size = crops.encode_size or crops.global_size
    processor = {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [crops.mean] * channels,
        "image_std": [crops.std] * channels,
        "do_convert_rgb": channels == 3,
    }
    write_tensors(folder / "model.safetensors", state)
    write_bytes(folder / "preprocessor_config.json", json.dumps(processor, indent=2).encode())


def load_encoder(folder: str | Path, *, random_seed: int | None = None) -> tuple[VisionTransformer, dict[str, object]]:
    """The encoder of a run (or its `encoder/` folder) in eval mode, and its preprocessor settings.

    Args:
        folder: a run directory or an encoder folder in transformers' Dinov2 layout.
        random_seed: leave the weights out and initialise afresh from this seed (the baseline of every table).

    Raises:
        SslError: files missing or damaged, another architecture, or keys that don't fit (each is listed).
    """
    folder = Path(folder)
    if (folder / "encoder").is_dir():
        folder = folder / "encoder"
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        processor = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise SslError(
            f"{folder}: expected config.json and preprocessor_config.json of an encoder ({error})"
        ) from error
    if config.get("model_type") == MODEL_TYPE:
        return _weighed(volume_config(config, folder), folder, random_seed, lambda state: state), processor
    return _weighed(read_shape(config, folder), folder, random_seed, from_transformers), processor


def _weighed(
    vit: ViTConfig, folder: Path, random_seed: int | None, names: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> VisionTransformer:
    if random_seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_seed)
            return VisionTransformer(vit).eval()
    model = VisionTransformer(vit)
    state = names(read_tensors(folder / "model.safetensors")[0])
    check_fit(str(folder), state, model.state_dict())
    model.load_state_dict(state)
    return model.eval()


def read_shape(config: dict[str, Any], folder: Path) -> ViTConfig:
    """The encoder that a `config.json` of transformers' Dinov2 or Dinov2WithRegisters states.

    Positions are resized as transformers does unless the file says, as ours do, how they were trained.

    Raises:
        SslError: another architecture, or a key that is missing.
    """
    kind = config.get("model_type")
    if kind not in ("dinov2", "dinov2_with_registers"):
        raise SslError(f"{folder}: expected config.json of a dinov2 encoder, got model_type {kind!r}")
    registers = config.get("num_register_tokens", 4) if kind == "dinov2_with_registers" else 0
    try:
        return ViTConfig(
            embed_dim=config["hidden_size"],
            depth=config["num_hidden_layers"],
            num_heads=config["num_attention_heads"],
            patch_size=config["patch_size"],
            image_size=config["image_size"],
            channels=config.get("num_channels", 3),
            mlp_ratio=float(config.get("mlp_ratio", 4)),
            ffn="swiglu" if config.get("use_swiglu_ffn") else "mlp",
            registers=registers,
            layerscale=config.get("layerscale_value", 1.0),
            init_std=config.get("initializer_range", 0.02),
            sincos=config.get("sincos", 0.0),
            pos_offset=config.get("pos_offset", 0.0),
            pos_antialias=config.get("pos_antialias", registers > 0),
        )
    except KeyError as error:
        raise SslError(f"{folder}: expected config.json with the key {error}") from error
