"""What is in an encoder's folder: `config.json`, `preprocessor_config.json` and, for a run, where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raddino_encoders._errors import EncoderError
from raddino_encoders._preprocess import Preprocessing

MODEL_TYPES = ("dinov2", "dinov2_with_registers")


def encoder_folder(path: Path) -> Path:
    """`<run>/encoder` where there is one, else the folder itself."""
    return path / "encoder" if (path / "encoder").is_dir() else path


def is_encoder_folder(path: Path) -> bool:
    """Whether a spec that names this path means a folder with an encoder."""
    return (encoder_folder(path) / "config.json").is_file()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        EncoderError: no such file, or something else in it.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path}: expected a JSON file of an encoder folder ({error})") from error
    if not isinstance(value, dict):
        raise EncoderError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a DINOv2 encoder.

    Raises:
        EncoderError: no config, or of another architecture.
    """
    config = read_json(folder / "config.json")
    if config.get("model_type") not in MODEL_TYPES:
        raise EncoderError(
            f"{folder}: expected model_type {' or '.join(MODEL_TYPES)}, got {config.get('model_type')!r}"
        )
    return config


def read_preprocessing(folder: Path, image_size: int, patch_size: int, channels: int) -> Preprocessing:
    """The input of an encoder from `preprocessor_config.json`; the crop wins over the size positions were learned at.

    Raises:
        EncoderError: no file, an input that patches don't tile, or means that don't fit `channels` (1, or 3 with grey
            repeated).
    """
    path = folder / "preprocessor_config.json"
    settings = read_json(path)
    crop, size = settings.get("crop_size"), settings.get("size")
    side = crop.get("height") if isinstance(crop, dict) else crop
    short = size.get("shortest_edge") if isinstance(size, dict) else size
    side = int(side or short or image_size)
    if side % patch_size:
        raise EncoderError(
            f"{path}: expected a crop_size that is a multiple of the patch size {patch_size}, got {side}; "
            "correct the file"
        )
    mean, std = (_per_channel(path, settings, key, channels) for key in ("image_mean", "image_std"))
    return Preprocessing(side, mean, std, short)


def _per_channel(path: Path, settings: dict[str, Any], key: str, channels: int) -> tuple[float, ...]:
    values = settings.get(key)
    if not isinstance(values, list) or len(values) != channels:
        raise EncoderError(
            f"{path}: expected {key} with num_channels = {channels} numbers, got {values!r}; correct the file"
        )
    return tuple(float(value) for value in values)
