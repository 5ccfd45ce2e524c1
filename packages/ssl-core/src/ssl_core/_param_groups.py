"""Learning-rate and weight-decay multipliers per parameter, and the optimiser groups made of them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


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
    layerwise_decay^(depth + 1), and they ARE weight-decayed; biases, norms and LayerScale are not.
    """
    lr = 1.0
    is_backbone = name.startswith("backbone.")
    if is_backbone:
        layer = depth + 1
        if "pos_embed" in name or "patch_embed" in name or "_token" in name:
            layer = 0
        elif ".blocks." in name:
            layer = int(name.split(".blocks.")[1].split(".")[0]) + 1
        lr = layerwise_decay ** (depth + 1 - layer)
    if "patch_embed" in name:
        lr *= patch_embed_lr
    no_decay = name.endswith(".bias") or "norm" in name or "gamma" in name
    return Multipliers(lr, 0.0 if no_decay else 1.0, "last_layer" in name, is_backbone)


def param_groups(
    model: nn.Module, *, depth: int, layerwise_decay: float, patch_embed_lr: float
) -> list[dict[str, object]]:
    """Optimiser groups of equal multipliers; each group carries its `multipliers`."""
    groups: dict[Multipliers, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        key = multipliers(name, depth=depth, layerwise_decay=layerwise_decay, patch_embed_lr=patch_embed_lr)
        groups.setdefault(key, []).append(parameter)
    return [{"params": groups[key], "multipliers": key} for key in sorted(groups)]
