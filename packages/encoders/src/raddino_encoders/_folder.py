"""What is in an encoder's folder: `config.json`, `preprocessor_config.json` and, for a run, where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raddino_encoders._constants import PUBLISHED, RAD_DINO_MEAN
from raddino_encoders._errors import EncoderError
from raddino_encoders._preprocess import Preprocessing
from raddino_encoders._resample import KERNELS

MODEL_TYPES = (
    "dinov2", "dinov2_with_registers", "dinov3_vit", "clip", "clip_vision_model", "siglip", "siglip_vision_model",
)  # fmt: skip
OPEN_CLIP = "open_clip_config.json"


def encoder_folder(path: Path) -> Path:
    """`<run>/encoder` where there is one, else the folder itself."""
    return path / "encoder" if (path / "encoder").is_dir() else path


def is_encoder_folder(path: Path) -> bool:
    """Whether a spec that names this path means a folder with an encoder."""
    return any((encoder_folder(path) / name).is_file() for name in ("config.json", OPEN_CLIP))


def is_timm_folder(folder: Path) -> bool:
    """Whether an encoder's folder is as timm saves models for a hub."""
    return (folder / "config.json").is_file() and "architecture" in read_json(folder / "config.json")


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
    """`config.json` of an encoder; where it is of images and texts, `model_type` and the part on images.

    Raises:
        EncoderError: no config, or of another architecture.
    """
    config = read_json(folder / "config.json")
    if config.get("model_type") not in MODEL_TYPES:
        raise EncoderError(
            f"{folder}: expected model_type {' or '.join(MODEL_TYPES)}, got {config.get('model_type')!r}"
        )
    vision = config.get("vision_config")
    return {**vision, "model_type": config["model_type"]} if isinstance(vision, dict) else config


def read_preprocessing(folder: Path, config: dict[str, Any], patch_size: int, channels: int) -> Preprocessing:
    """The input of an encoder from `preprocessor_config.json`, or without one the published constants of its type.

    The crop wins over the size positions were learned at.

    Raises:
        EncoderError: an input that patches don't tile, or means that don't fit `channels` (1, or 3 with grey
            repeated).
    """
    path = folder / "preprocessor_config.json"
    published = PUBLISHED.get(str(config["model_type"]).removesuffix("_vision_model"))
    if published and not path.exists() and channels == len(published.mean):
        return published.at(int(config.get("image_size") or published.size))
    settings = read_json(path)
    side, short = _sides(settings, int(config.get("image_size") or 224))
    if side % patch_size:
        raise EncoderError(
            f"{path}: expected a crop_size that is a multiple of the patch size {patch_size}, got {side}; "
            "correct the file"
        )
    mean, std = (_per_channel(path, settings, key, channels) for key in ("image_mean", "image_std"))
    kernel = settings.get("resample", published.resample if published else "bicubic")
    return Preprocessing(
        side,
        mean,
        std,
        short,
        resample=KERNELS[kernel] if isinstance(kernel, int) and 0 <= kernel < len(KERNELS) else "bicubic",
        # The mean of MIMIC-CXR tells RAD-DINO's folders, of whatever revision and name.
        spline=abs(mean[0] - RAD_DINO_MEAN) < 1e-6,
        fit="crop" if short or "size" not in settings else "stretch",
        source=path.name,
    )


def _sides(settings: dict[str, Any], image_size: int) -> tuple[int, int | None]:
    """Side of the input, and the short side before a crop (None where the image is stretched)."""
    crop, size = settings.get("crop_size"), settings.get("size")
    cropped = crop.get("height") if isinstance(crop, dict) else crop
    if isinstance(size, dict):
        short, stretched = size.get("shortest_edge"), size.get("height")
    else:  # an older form: the short side
        short, stretched = size, None
    if settings.get("do_center_crop") is False:
        cropped = None
    return int(cropped or short or stretched or image_size), short


def _per_channel(path: Path, settings: dict[str, Any], key: str, channels: int) -> tuple[float, ...]:
    values = settings.get(key)
    if not isinstance(values, list) or len(values) != channels:
        raise EncoderError(
            f"{path}: expected {key} with num_channels = {channels} numbers, got {values!r}; correct the file"
        )
    return tuple(float(value) for value in values)
