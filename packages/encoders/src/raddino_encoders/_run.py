"""Encoders that ssl_core trained: a run folder, or its `encoder/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from raddino_encoders._backbone import Backbone, Loaded, Pair, to_grid
from raddino_encoders._errors import EncoderError
from raddino_encoders._folder import encoder_folder, read_config, read_preprocessing
from raddino_encoders._weights import fingerprint


class _Run(Backbone):
    def __init__(self, model: Any, patch: int) -> None:
        super().__init__()
        self.model, self._patch = model, patch
        self.most_layers = len(model.blocks)

    def forward(self, x: Tensor, layers: int) -> list[Pair]:
        first = self.most_layers - layers
        kept: list[Tensor] = []
        hooks = [block.register_forward_hook(lambda *a: kept.append(a[2])) for block in self.model.blocks[first:-1]]
        try:
            features = self.model(x)
        finally:
            for hook in hooks:
                hook.remove()
        height, width = (side // self._patch for side in x.shape[-2:])
        prefix = 1 + features.registers.shape[1]
        normed = [self.model.norm(tokens) for tokens in kept]
        pairs = [(tokens[:, 0], to_grid(tokens[:, prefix:], height, width)) for tokens in normed]
        return [*pairs, (features.cls, to_grid(features.patches, height, width))]


def load_run(path: Path, seed: int | None) -> Loaded:
    """The encoder of a run through ssl_core.

    Args:
        path: the run folder.
        seed: None loads the weights; a number leaves them out and initialises afresh from it.

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
    patch, channels = int(config["patch_size"]), int(config["num_channels"])
    preprocessing = read_preprocessing(folder, config, patch, channels)
    revision = fingerprint(folder / "model.safetensors") if seed is None else None
    return Loaded(_Run(model, patch), preprocessing, int(config["hidden_size"]), patch, revision)
