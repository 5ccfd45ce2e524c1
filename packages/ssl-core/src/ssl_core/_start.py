"""A run that starts from given weights: an encoder's, and heads where there are some.

What arrives must give the features of its source: pixels that the run normalises in another way are put right in the
patch embedding, positions are resized by the source's own rule. Student and teacher start alike.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssl_core._config import Config
from ssl_core._errors import SslError
from ssl_core._lora import is_adapter
from ssl_core._names import State, check_fit
from ssl_core._objective import SelfDistillation
from ssl_core._pos_embed import interpolate_pos_embed
from ssl_core._sizes import patch_grid
from ssl_core._source import Source, read_head, read_source

_WARMUP = 1250  # steps: dinov2's epoch, for which it keeps the last layer of a fresh head still


@dataclass(frozen=True)
class Start:
    """What became of every key: of the weights a run starts from, and of the run's own."""

    weights: str
    loaded: int
    """Keys of the student that came from files."""
    fresh: list[str]
    """Keys of the student that no file has: they start as in any run."""
    filled: list[str]
    """Keys given the value that stands for their absence in the source's library."""
    changed: list[str]
    """What was resized or folded, in words."""
    unused: list[str]
    """Keys of the files that the run has no place for."""

    def to_json(self) -> str:
        """As written to `start.json` of the run."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    def __str__(self) -> str:
        words = [f"{self.loaded} tensors from {self.weights}", *self.changed]
        for what, names in (("fresh", self.fresh), ("filled in", self.filled), ("not used", self.unused)):
            words += [f"{what}: {', '.join(names)}"] if names else []
        return "; ".join(words)


def start_from(model: SelfDistillation, config: Config) -> Start:
    """Load `config.init` into student and teacher.

    Raises:
        SslError: files that can't be read, an encoder or a head that the configuration does not fit (every key is
            named), or channels that can't be turned into the run's.
    """
    source = read_source(config.init.weights)
    for key in ("num_heads", "patch_size"):  # what shapes of tensors don't tell, or tell too late
        stated, ours = source.shape.get(key), getattr(config.model, key)
        if stated not in (None, ours):
            raise SslError(f"{source.path}: expected model.{key} = {stated}, got {ours}")
    backbone, changed = _fit(source, config)
    own = model.student.state_dict()
    plain = {k: v for k, v in own.items() if k.startswith("backbone.") and not is_adapter(k)}
    expected = {k.removeprefix("backbone."): v for k, v in plain.items()}
    check_fit(str(source.path), backbone, expected)
    heads, unused = _choose_heads(source, model, config)
    state = {f"backbone.{name}": tensor for name, tensor in backbone.items()} | heads
    model.student.load_state_dict(own | state)
    model.teacher.load_state_dict(model.student.state_dict())
    return Start(
        weights=str(source.path),
        loaded=len(state) - sum(name in backbone for name in source.filled),
        fresh=sorted(own.keys() - state.keys()),
        filled=source.filled,
        changed=changed,
        unused=source.unused + unused,
    )


def start_overrides(weights: str | Path, head: str | Path | None = None) -> list[str]:
    """Overrides for `load_config` by which a run fits the weights it starts from: sizes, rules, a warm-up of new heads.

    Where no file says how many heads attend, they are of 64 channels, as in every encoder of `SIZES`. Channels and the
    size of crops are left to the recipe.

    Raises:
        SslError: as `read_source` and `read_head`.
    """
    source = read_source(weights)
    heads = read_head(head) if head else source.heads
    shape = {"num_heads": source.shape["embed_dim"] // 64} | source.shape
    values: dict[str, object] = {f"model.{name}": value for name, value in shape.items() if name != "channels"}
    values |= {"model.whitening": 0.0, "init.weights": str(weights)}
    values |= {"init.head": str(head)} if head else {}
    if "dino_head.last_layer.weight_v" in heads:
        prototypes, bottleneck = heads["dino_head.last_layer.weight_v"].shape
        layers = sum(name.startswith("dino_head.mlp.") and name.endswith(".weight") for name in heads)
        values |= {
            "head.prototypes": prototypes,
            "head.hidden": heads["dino_head.mlp.0.weight"].shape[0],
            "head.bottleneck": bottleneck,
            "head.layers": layers,
            "head.separate": "ibot_head.last_layer.weight_v" in heads,
        }
        if values["head.separate"]:
            sizes = heads["ibot_head.last_layer.weight_v"].shape
            values |= {"head.ibot_prototypes": sizes[0], "head.ibot_bottleneck": sizes[1]}
    else:
        values["init.warmup_heads"] = _WARMUP
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _fit(source: Source, config: Config) -> tuple[State, list[str]]:
    """The backbone for the run's pixels and grid, and what was done to it."""
    state, changed = dict(source.backbone), []
    mean, std = config.crops.mean, config.crops.std
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    if len(source.mean) != config.model.channels or {*source.mean} != {mean} or {*source.std} != {std}:
        weight, bias = fold_pixels(weight, bias, source.mean, source.std, mean, std)
        state["patch_embed.proj.bias"] = bias
        changed.append(f"patch embedding folded from mean {source.mean} and deviation {source.std} to {mean} and {std}")
    if config.model.channels == 1 and weight.shape[1] > 1:
        changed.append(f"patch embedding summed over {weight.shape[1]} channels")
        weight = weight.sum(dim=1, keepdim=True)
    state["patch_embed.proj.weight"] = weight
    grid = patch_grid(config.crops.global_size, config.model.patch_size, "crops.global_size")
    if grid != source.grid:
        rule = {"offset": source.shape["pos_offset"], "antialias": source.shape["pos_antialias"]}
        state["pos_embed"] = interpolate_pos_embed(state["pos_embed"], grid, learned=source.grid, **rule)
        old, new = (" x ".join(map(str, g)) for g in (source.grid, grid))
        changed.append(f"positions resized from {old} to {new} patches")
    return state, changed


def fold_pixels(
    weight: Tensor, bias: Tensor, mean: tuple[float, ...], std: tuple[float, ...], new_mean: float, new_std: float
) -> tuple[Tensor, Tensor]:
    """A patch embedding for pixels (x - mean) / std turned into one for (x - new_mean) / new_std, channel by channel.

    Args:
        weight: (D, C, p, p), or (D, C, p, p, p) of volumes.
        bias: (D,).
        mean: of each of the C channels.
        std: of each of the C channels.
        new_mean: of all channels.
        new_std: of all channels.
    """
    exact = weight.double()
    per_channel = [-1, *[1] * (weight.ndim - 2)]
    old, deviation = (torch.tensor(values, dtype=torch.float64).view(per_channel) for values in (mean, std))
    shift = (exact * ((new_mean - old) / deviation)).flatten(1).sum(dim=1)
    return (exact * (new_std / deviation)).to(weight.dtype), (bias.double() + shift).to(bias.dtype)


def _choose_heads(source: Source, model: SelfDistillation, config: Config) -> tuple[State, list[str]]:
    """Heads that the run starts with, whole or not at all, and keys that are left over."""
    chosen = config.init.head
    given = {} if chosen == "fresh" else read_head(chosen) if chosen else source.heads
    heads: State = {}
    for name in ("dino_head", "ibot_head"):
        prefix = f"{name}."
        own = {k: v for k, v in model.student.state_dict().items() if k.startswith(prefix)}
        theirs = {k: v for k, v in given.items() if k.startswith(prefix)}
        if own and theirs:
            check_fit(
                f"{chosen or source.path} ({name}; set head.* to its sizes, or init.head=fresh to begin anew)",
                theirs,
                own,
            )
            heads |= theirs
    left = (source.heads | given).keys() - heads.keys()
    return heads, sorted(left)
