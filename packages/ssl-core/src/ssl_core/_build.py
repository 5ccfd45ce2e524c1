"""Student and teacher as a configuration describes them, before the first step."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch
from torch import nn

from ssl_core._backbone import Backbone
from ssl_core._batches import Images, generator, make_batch
from ssl_core._config import Config, HighResConfig
from ssl_core._errors import SslError
from ssl_core._lora import add_adapters
from ssl_core._objective import SelfDistillation
from ssl_core._vit import VisionTransformer, ViTConfig
from ssl_core._whitening import whiten_patch_embed

_WHITENED = 512  # images: tens of thousands of patches at the usual sizes


def build(config: Config, backbone: Backbone | None = None) -> SelfDistillation:
    """Student and teacher with the same fresh weights, drawn from the run's seed, or around a given encoder.

    Raises:
        SslError: an encoder that is no Backbone, has another patch size, or that the configuration would change.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        encoder = VisionTransformer(vit_config(config)) if backbone is None else _check_backbone(config, backbone)
        if config.lora.rank:
            if backbone is None and not config.init.weights:
                raise SslError("lora.rank freezes the encoder of init.weights, got none")
            add_adapters(encoder, config.lora)
        return SelfDistillation(encoder, config.head, config.loss)


def vit_config(config: Config) -> ViTConfig:
    """The encoder that a configuration asks for."""
    model = dataclasses.asdict(config.model)
    del model["whitening"]
    return ViTConfig(**model, image_size=config.crops.global_size)


def _check_backbone(config: Config, backbone: Backbone) -> Any:
    if not isinstance(backbone, Backbone) or not isinstance(backbone, nn.Module):
        raise SslError(f"expected a backbone that is an nn.Module and a Backbone, got {type(backbone).__name__}")
    if backbone.patch_size != config.model.patch_size:
        raise SslError(
            f"expected model.patch_size = {backbone.patch_size}, the backbone's, got {config.model.patch_size}"
        )
    if config.init.weights or config.model.whitening:
        raise SslError("init.weights and model.whitening are for the built-in encoder; a given backbone brings its own")
    return backbone


def start_from_patches(config: Config, images: Images, model: SelfDistillation) -> None:
    """Whiten the patch embeddings of student and teacher by the global crops of the first images of the run."""
    config = dataclasses.replace(config, high_res=HighResConfig())  # alike crops, even of a short run
    steps = -(-min(len(images), _WHITENED) // config.train.batch_size)
    crops = torch.cat([make_batch(config, images, step)[1].global_crops for step in range(steps)])
    for network in (model.student, model.teacher):
        embed = cast(VisionTransformer, network.backbone).patch_embed
        whiten_patch_embed(embed, crops, config.model.whitening, generator(config.train.seed, 3, 0))
