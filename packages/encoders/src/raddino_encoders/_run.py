"""Encoders that ssl_core trained: a run folder, or its `encoder/`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from raddino_encoders._encoder import Encoder, to_grid
from raddino_encoders._errors import EncoderError
from raddino_encoders._folder import encoder_folder, read_config, read_preprocessing


def load_run(spec: str, path: Path, seed: int | None, device: str | torch.device) -> Encoder:
    """The encoder of a run through ssl_core.

    Args:
        spec: the name it gets.
        path: the run folder.
        seed: None loads the weights; a number leaves them out and initialises afresh from it.
        device: where tokens are computed.

    Raises:
        EncoderError: files missing or damaged, weights that don't fit (each key is listed).
    """
    import ssl_core

    folder = encoder_folder(path)
    config = read_config(folder)
    try:
        model, _ = ssl_core.load_encoder(folder, random_seed=seed)
    except ssl_core.SslError as error:
        raise EncoderError(str(error)) from error
    model.to(device)
    patch, channels = int(config["patch_size"]), int(config["num_channels"])
    preprocessing = read_preprocessing(folder, int(config["image_size"]), patch, channels)
    side = preprocessing.size // patch

    def backbone(x: Tensor) -> tuple[Tensor, Tensor]:
        features = model(x)
        return features.cls, to_grid(features.patches, side, side)

    return Encoder(spec, backbone, preprocessing, embed_dim=int(config["hidden_size"]), patch_size=patch, device=device)
