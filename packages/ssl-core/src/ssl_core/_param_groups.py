"""Learning-rate and weight-decay multipliers per parameter, and the optimiser groups made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from torch import nn

_BLOCK = re.compile(r"backbone\.(?:\w+\.)?blocks\.(\d+)\.")  # the backbone's own, or those of the module it wraps


@dataclass(frozen=True, order=True)
class Multipliers:
    """What a parameter's learning rate and weight decay are multiplied by."""

    lr: float
    weight_decay: float
    is_last_layer: bool
    is_backbone: bool


def multipliers(name: str, *, depth: int, layerwise_decay: float, patch_embed_lr: float) -> Multipliers:
    """dinov2's rule for a parameter `backbone.*`, `dino_head.*` or `ibot_head.*`.

    Layer i of the backbone learns at layerwise_decay^(depth - i); tokens and positions at
    layerwise_decay^(depth + 1), and they ARE weight-decayed; biases, norms and LayerScale are not. A backbone of
    depth 0, one without `blocks.<i>`, learns alike everywhere but in the patch embedding.
    """
    lr = 1.0
    is_backbone = name.startswith("backbone.")
    if is_backbone and depth:
        layer = depth + 1
        block = _BLOCK.match(name)
        if block:
            layer = int(block[1]) + 1
        elif "pos_embed" in name or "patch_embed" in name or "_token" in name:
            layer = 0
        lr = layerwise_decay ** (depth + 1 - layer)
    if "patch_embed" in name:
        lr *= patch_embed_lr
    no_decay = name.endswith(".bias") or "norm" in name or "gamma" in name
    return Multipliers(lr, 0.0 if no_decay else 1.0, "last_layer" in name, is_backbone)


def param_groups(model: nn.Module, *, layerwise_decay: float, patch_embed_lr: float) -> list[dict[str, object]]:
    """Optimiser groups of equal multipliers of what learns; each group carries its `multipliers`.

    Whatever has one axis is not weight-decayed: norms and scales of encoders that name them otherwise.
    """
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    depth = max((int(block[1]) + 1 for name, _ in model.named_parameters() if (block := _BLOCK.match(name))), default=0)
    groups: dict[Multipliers, list[nn.Parameter]] = {}
    for name, parameter in learning.items():
        key = multipliers(name, depth=depth, layerwise_decay=layerwise_decay, patch_embed_lr=patch_embed_lr)
        if parameter.ndim <= 1:
            key = replace(key, weight_decay=0.0)
        groups.setdefault(key, []).append(parameter)
    return [{"params": groups[key], "multipliers": key} for key in sorted(groups)]
