"""Encoders in transformers' format: any local folder whose `config.json` has one of `MODEL_TYPES`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raddino_encoders._backbone import Backbone, Loaded, Pair, split_tokens, to_grid
from raddino_encoders._errors import EncoderError, check_fit
from raddino_encoders._folder import encoder_folder, read_config, read_preprocessing
from raddino_encoders._weights import fingerprint

# What CLIP and SigLIP have beside the encoder of images.
_TEXT = ("text_model.", "text_projection", "visual_projection", "logit_")


class _Transformer(Backbone):
    """The class token, registers and patches of DINOv2, DINOv3 and CLIP; SigLIP, which has none, pools its patches."""

    def __init__(self, model: Any, config: Any, norm: str, prefix: int, options: dict[str, bool]) -> None:
        super().__init__()
        self.model = model
        self.most_layers = int(config.num_hidden_layers)
        self._patch, self._norm, self._prefix, self._options = int(config.patch_size), norm, prefix, options

    def forward(self, x: Tensor, layers: int) -> list[Pair]:
        hidden = self.model(pixel_values=x, output_hidden_states=True, **self._options).hidden_states[-layers:]
        return [self._pair(getattr(self.model, self._norm)(tokens), x) for tokens in hidden]

    def _pair(self, tokens: Tensor, x: Tensor) -> Pair:
        if self._prefix:
            return split_tokens(tokens, self._prefix, x, self._patch)
        grid = to_grid(tokens, x.shape[-2] // self._patch, x.shape[-1] // self._patch)
        return self.model.head(tokens), grid


def load_transformers(path: Path, seed: int | None, revision: str | None = None) -> Loaded:
    """A Dinov2Model, Dinov2WithRegistersModel, DINOv3ViTModel, CLIPVisionModel or SiglipVisionModel.

    Args:
        path: the folder, or a run folder with `encoder/` in it.
        seed: None loads `model.safetensors`; a number leaves it out and initialises afresh from it.
        revision: where it came from, if that is known.

    Raises:
        EncoderError: transformers is not installed, files missing or damaged, weights that don't fit (each listed).
    """
    folder = encoder_folder(path)
    settings = read_config(folder)
    try:
        import transformers
    except ImportError as error:
        raise EncoderError(
            f"{folder}: needs transformers or ssl-core; pip install 'raddino-encoders[transformers]'"
        ) from error
    kind = str(settings["model_type"]).removesuffix("_vision_model")
    family = {"clip": "CLIPVision", "siglip": "SiglipVision"}.get(kind)
    config_class = getattr(transformers, f"{family}Config") if family else transformers.AutoConfig
    config = config_class.from_pretrained(str(folder), local_files_only=True)
    model_class = getattr(transformers, f"{family}Model") if family else transformers.AutoModel
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = model_class(config) if family else model_class.from_config(config)
    else:
        model = _pretrained(folder, config, model_class)
        revision = revision or fingerprint(min(folder.glob("model*.safetensors")))
    norm = {"clip": "post_layernorm", "siglip": "post_layernorm", "dinov3_vit": "norm"}.get(kind, "layernorm")
    # Tokens come as class, registers, patches.
    prefix = 0 if kind == "siglip" else 1 + int(getattr(config, "num_register_tokens", 0) or 0)
    backbone = _Transformer(model, config, norm, prefix, {"interpolate_pos_encoding": True} if family else {})
    patch, channels = int(config.patch_size), int(config.num_channels)
    preprocessing = read_preprocessing(folder, settings, patch, channels)
    return Loaded(backbone, preprocessing, int(config.hidden_size), patch, revision)


def _pretrained(folder: Path, config: Any, model_class: Any) -> Any:
    from transformers.utils import logging

    if not any(folder.glob("model*.safetensors")):
        raise EncoderError(
            f"{folder}: expected model.safetensors, got {sorted(p.name for p in folder.iterdir())}; "
            "pickled weights (.bin, .pth) are not read because they can run code: convert them"
        )
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a library draws no bars; callers have `progress`
    told = logging.get_verbosity()
    logging.set_verbosity_error()  # what doesn't fit is an error below, and texts are left out on purpose
    try:
        # Asked to go on despite wrong shapes, transformers reports them all instead of stopping at the first.
        model, info = model_class.from_pretrained(
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
        logging.set_verbosity(told)
        if bars:
            logging.enable_progress_bar()
    surplus = [key for key in info["unexpected_keys"] if not key.startswith(_TEXT)]
    shapes = [f"{key} {tuple(got)} instead of {tuple(want)}" for key, got, want in info["mismatched_keys"]]
    check_fit(folder, info["missing_keys"], surplus, shapes)
    return model
