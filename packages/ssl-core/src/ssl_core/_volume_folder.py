"""The `encoder/` folder of an encoder of volumes, for which transformers has no model: its own fields and names."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from torch import Tensor

from ssl_core._config import CropConfig
from ssl_core._errors import SslError
from ssl_core._files import write_bytes, write_tensors
from ssl_core._sizes import per_axis
from ssl_core._vit import ViTConfig

MODEL_TYPE = "ssl_core_volume"


def save_volume_encoder(vit: ViTConfig, state: dict[str, Tensor], crops: CropConfig, folder: Path) -> None:
    """Write `model.safetensors` (dinov2's names), `config.json` (`ViTConfig`) and `preprocessor_config.json`."""
    size = per_axis(crops.encode_size or crops.global_size, 3)
    processor = {
        "crop_size": dict(zip(("depth", "height", "width"), size, strict=True)),
        "image_mean": [crops.mean] * vit.channels,
        "image_std": [crops.std] * vit.channels,
    }
    config = {"model_type": MODEL_TYPE, **dataclasses.asdict(vit)}
    write_tensors(folder / "model.safetensors", state)
    write_bytes(folder / "config.json", json.dumps(config, indent=2).encode())
    write_bytes(folder / "preprocessor_config.json", json.dumps(processor, indent=2).encode())


def volume_config(config: dict[str, Any], folder: Path) -> ViTConfig:
    """The shape of an encoder by its `config.json`.

    Raises:
        SslError: a field is missing, or one that this version doesn't know is there.
    """
    names = {field.name for field in dataclasses.fields(ViTConfig)}
    given: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in config.items() if name != "model_type"
    }
    if given.keys() != names:
        raise SslError(f"{folder / 'config.json'}: expected the fields {sorted(names)}, got {sorted(given)}")
    return ViTConfig(**given)
