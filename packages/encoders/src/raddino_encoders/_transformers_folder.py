"""Encoders in transformers' format: any local folder with a DINOv2 `config.json`. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raddino_encoders._encoder import Encoder, to_grid
from raddino_encoders._errors import EncoderError, check_fit
from raddino_encoders._folder import encoder_folder, read_config, read_preprocessing


def load_transformers(spec: str, path: Path, seed: int | None, device: str | torch.device) -> Encoder:
    """A Dinov2Model or Dinov2WithRegistersModel.

    Args:
        spec: the name it gets.
        path: the folder, or a run folder with `encoder/` in it.
        seed: None loads `model.safetensors`; a number leaves it out and initialises afresh from it.
        device: where tokens are computed.

    Raises:
        EncoderError: transformers is not installed, files missing or damaged, weights that don't fit (each listed).
    """
    folder = encoder_folder(path)
    settings = read_config(folder)
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise EncoderError(
            f"{spec}: needs transformers or ssl-core; pip install 'raddino-encoders[transformers]'"
        ) from error
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AutoModel.from_config(config)
    else:
        model = _pretrained(folder, config, AutoModel)
    model.eval().requires_grad_(False).to(device)
    patch = int(config.patch_size)
    preprocessing = read_preprocessing(folder, int(config.image_size), patch, int(config.num_channels))
    side = preprocessing.size // patch
    # Tokens come as class, registers, patches.
    first = 1 + int(settings.get("num_register_tokens") or getattr(config, "num_register_tokens", 0) or 0)

    def backbone(x: Tensor) -> tuple[Tensor, Tensor]:
        tokens = model(pixel_values=x).last_hidden_state
        return tokens[:, 0], to_grid(tokens[:, first:], side, side)

    return Encoder(
        spec,
        backbone,
        preprocessing,
        embed_dim=int(config.hidden_size),
        patch_size=patch,
        device=device,
    )


def _pretrained(folder: Path, config: Any, auto_model: Any) -> Any:
    from transformers.utils import logging

    if not any(folder.glob("model*.safetensors")):
        raise EncoderError(
            f"{folder}: expected model.safetensors, got {sorted(p.name for p in folder.iterdir())}; "
            "pickled weights (.bin, .pth) are not read because they can run code: convert them"
        )
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a library draws no bars; callers have `progress`
    try:
        # Asked to go on despite wrong shapes, transformers reports them all instead of stopping at the first.
        model, info = auto_model.from_pretrained(
            str(folder),
            config=config,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:  # safetensors' and transformers' errors share no base
        raise EncoderError(f"{folder}: model.safetensors can't be read ({error})") from error
    finally:
        if bars:
            logging.enable_progress_bar()
    shapes = [f"{key} {tuple(got)} instead of {tuple(want)}" for key, got, want in info["mismatched_keys"]]
    check_fit(folder, info["missing_keys"], info["unexpected_keys"], shapes)
    return model
