"""Any timm backbone: `timm:<name>@<weights.safetensors>`, or untrained without weights. Nothing is downloaded."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import timm
import timm.data
import torch
from torch import Tensor

from raddino_encoders._encoder import Encoder, to_grid
from raddino_encoders._errors import EncoderError, check_fit
from raddino_encoders._preprocess import Preprocessing


def near_names(name: str, count: int = 5) -> list[str]:
    """The names of timm models most like `name`."""
    return difflib.get_close_matches(name, timm.list_models(), n=count, cutoff=0.5)


def load_timm(spec: str, name: str, weights: Path | None, seed: int, device: str | torch.device) -> Encoder:
    """A timm model without its classifier.

    The class token is the model's own where it has one, else the mean of the patch tokens (CNNs, pooled ViTs, Swin).

    Args:
        spec: the name it gets.
        name: timm's model name.
        weights: a safetensors file; a classifier in it is left out. None: initialised from `seed`.
        seed: of the initialisation.
        device: where tokens are computed.

    Raises:
        EncoderError: unknown name (near ones listed), weights that can't be read or don't fit (each key listed),
            a model whose features aren't a square grid.
    """
    if ":" in name or not timm.is_model(name):  # timm would fetch a name with a colon from a hub
        raise EncoderError(
            f"{spec!r}: expected a timm model name, got {name!r}; near: {', '.join(near_names(name)) or 'none'}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = timm.create_model(name, pretrained=False, num_classes=0)
        except RuntimeError as error:  # the name is known, its tag (after the dot) is not
            raise EncoderError(f"{spec!r}: timm can't build {name!r} ({error})") from error
    if weights is not None:
        _load_weights(model, weights)
    model.eval().requires_grad_(False).to(device)
    settings = timm.data.resolve_model_data_config(model)
    size = int(settings["input_size"][-1])
    short = round(size / float(settings["crop_pct"]))
    preprocessing = Preprocessing(size, tuple(settings["mean"]), tuple(settings["std"]), short)

    def backbone(x: Tensor) -> tuple[Tensor, Tensor]:
        return _tokens(model, spec, model.forward_features(x))

    with torch.inference_mode():
        channels = len(settings["mean"])
        cls, patches = backbone(torch.zeros(1, channels, size, size, device=device))
    return Encoder(
        spec, backbone, preprocessing, embed_dim=cls.shape[1], patch_size=size // patches.shape[-1], device=device
    )


def _tokens(model: Any, spec: str, features: object) -> tuple[Tensor, Tensor]:
    if isinstance(features, Tensor) and features.ndim == 4:
        # Swin and its kin put channels last; num_features tells which axis they are.
        last = features.shape[-1] == model.num_features and features.shape[1] != model.num_features
        grid = features.permute(0, 3, 1, 2) if last else features
        return grid.mean((2, 3)), grid
    if isinstance(features, Tensor) and features.ndim == 3:
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        patches = features[:, prefix:]
        side = round(patches.shape[1] ** 0.5)
        if side * side == patches.shape[1]:
            has_class = prefix > 0 and getattr(model, "cls_token", None) is not None
            cls = features[:, 0] if has_class else patches.mean(1)
            return cls, to_grid(patches, side, side)
    got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
    raise EncoderError(f"{spec!r}: expected features on a square grid, got {got}; choose another timm model")


def _load_weights(model: Any, path: Path) -> None:
    try:
        state = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise EncoderError(f"{path}: expected a safetensors file ({error})") from error
    expected = model.state_dict()
    heads = model.pretrained_cfg.get("classifier") or ()
    prefixes = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
    state = {k: v for k, v in state.items() if k in expected or not k.startswith(prefixes)}
    shapes = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(expected[k].shape)}"
        for k in expected.keys() & state.keys()
        if expected[k].shape != state[k].shape
    ]
    check_fit(path, expected.keys() - state.keys(), state.keys() - expected.keys(), shapes)
    model.load_state_dict(state)
