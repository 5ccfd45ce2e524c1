"""Memory of a training step, counted on paper: what a process holds, and what it keeps for the backward pass.

Counted for blocks that are not compiled (compiled ones keep less), attention that never writes out its weights, and
runs without adapters or an anchor.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import cast

import torch
from torch import nn

from ssl_core._build import build
from ssl_core._config import Config, HighResConfig, InitConfig, ModelConfig, TrainConfig
from ssl_core._ffn import gated_width
from ssl_core._flops import _kept
from ssl_core._objective import Network
from ssl_core._sizes import Size, axes_of, patch_grid, per_axis
from ssl_core._targets import GPU_CHUNK, GPU_REMEMBERED
from ssl_core._vit import VisionTransformer

_FULL = 4  # bytes of float32: weights, gradients, the residual stream and losses, whatever the autocast


def parameter_counts(config: Config) -> dict[str, int]:
    """Of the student: `backbone`, `heads`, and `block`, one of the backbone's; nothing is allocated."""
    student = _student(_plain(config))
    encoder = cast(VisionTransformer, student.backbone)
    backbone = _weights(encoder)
    return {"backbone": backbone, "heads": _weights(student) - backbone, "block": _weights(encoder.blocks[0])}


def _plain(config: Config) -> Config:
    return dataclasses.replace(config, train=TrainConfig(), high_res=HighResConfig(), init=InitConfig())


@functools.lru_cache(maxsize=16)
def _student(config: Config) -> Network:
    with torch.device("meta"):
        return build(config).student


def _weights(module: nn.Module, processes: int = 1) -> int:
    """Weights that the first of some processes holds, and no other more of: FSDP deals the rows of each in equal runs.

    So what has one row, as positions have, is the first's alone.
    """
    return sum(-(-p.shape[0] // processes) * p[0].numel() for p in module.parameters())


def _inner(model: ModelConfig) -> int:
    """Numbers that a block's MLP keeps of a token: all its inner activations."""
    hidden = int(model.embed_dim * model.mlp_ratio)
    return 4 * gated_width(hidden) if model.ffn == "swiglu" else 2 * hidden


def _block(model: ModelConfig, width: int) -> float:
    """Bytes that a block keeps of a token: inputs of its norms in full, inputs and outputs of products in `width`.

    With drop path torch keeps each branch's result too, though the gradient doesn't need it.
    """
    d = model.embed_dim
    full = 2 * (d + 2) + model.num_heads + (2 * d if model.drop_path else 0)
    return _FULL * full + width * (6 * d + 2 * d + _inner(model))


def _pass(config: Config, size: Size, count: int, width: int) -> tuple[float, float]:
    """Bytes kept of `count` crops of a size through the student; bytes that one block's backward pass adds."""
    model = config.model
    patches = math.prod(patch_grid(size, model.patch_size, "size"))
    pixels = model.channels * math.prod(per_axis(model.patch_size, axes_of(model.patch_size)))
    tokens = count * (patches + 1 + model.registers)
    stream = _FULL * model.embed_dim * tokens
    taken = tokens * _kept(count, model.drop_path) if count else 0.0
    block = taken * _block(model, width)
    ends = stream + width * count * patches * pixels  # the last norm's input and the cut patches
    gradients = taken * width * _inner(model)
    if config.train.activation_checkpointing:
        return ends + model.depth * stream, block + gradients
    return ends + model.depth * block, gradients


def step_memory(config: Config, processes: int = 1, step: int = 0) -> dict[str, float]:
    """Bytes of one process at its peak, by part, when `processes` share the batch.

    `parameters`, `gradients`, `optimiser`, `teacher`: in float32, the largest share of each under FSDP; `copies`: the
    weights as autocast hands them to products; `exchange`: DDP's buckets, or the blocks that FSDP has gathered;
    `student_global`, `student_local`, `heads`: what is kept for the backward pass; `block`: what the backward pass of
    one block adds, its activations included where they are recomputed; `loss`: prototypes, their gradients, targets.
    `total`, the peak, is less than their sum: these are not all there at a time.
    """
    model, head, train, crops = config.model, config.head, config.train, config.crops_at(step)
    images = max(1, train.batch_size // (processes * train.accumulate))
    width = 2 if train.precision == "bfloat16" else _FULL
    counts = parameter_counts(config)
    every = counts["backbone"] + counts["heads"]
    root = every - model.depth * counts["block"]
    sharded = train.parallel == "fsdp" and processes > 1
    share = float(_FULL * _weights(_student(_plain(config)), processes if sharded else 1))
    whole_gradients = sharded and train.accumulate > 1  # they are summed over processes in the last micro-batch alone

    rows = 2 * images + images * crops.local_count
    patches = math.prod(patch_grid(crops.global_size, model.patch_size, "size"))
    masked = int(2 * images * config.masks.probability) * patches * sum(config.masks.ratio) / 2
    of_global, block_global = _pass(config, crops.global_size, 2 * images, width)
    of_local, block_local = _pass(config, crops.local_size, images * crops.local_count, width)
    prototypes = head.prototypes * head.bottleneck
    columns = head.ibot_prototypes or head.prototypes
    patch_prototypes = columns * (head.ibot_bottleneck or head.bottleneck)
    per_row = width * (model.embed_dim + 2 * head.hidden * (head.layers - 1)) + 4 * _FULL * head.bottleneck
    # Of each head: the student's prototypes and their unscaled product, the teacher's; and a gradient for each loss.
    tables = 3 * (prototypes + (patch_prototypes if head.separate else 0)) + 2 * prototypes + patch_prototypes
    tables *= _FULL
    logits = min(GPU_CHUNK, masked * columns)
    of_views = min(GPU_CHUNK, images * max(2, crops.local_count) * head.prototypes)  # their targets are there already
    passing = _FULL * (head.prototypes * images * (4 + crops.local_count) + max(4.0 * logits, 2.0 * of_views))
    # Targets are of all micro-batches: logits that fit into a chunk stay, and Sinkhorn-Knopp's plan does for a while.
    wanted = [train.accumulate * n for n in (2 * images * head.prototypes, masked * columns)]
    targets = _FULL * sum(n for n in wanted if n <= GPU_CHUNK)
    plan = min(GPU_REMEMBERED, max(wanted)) + 3 * logits if config.loss.centring == "sinkhorn_knopp" else 0
    taught = targets + _FULL * (prototypes + patch_prototypes + plan) + wanted[1] / columns * per_row

    parts = {
        "parameters": share,
        "gradients": _FULL * every if whole_gradients else share,
        "optimiser": 2 * share,
        "teacher": share,
        "copies": float(width * every) if width != _FULL else 0.0,
        "exchange": _FULL * (3.0 * counts["block"] + 3.0 * root if sharded else every if processes > 1 else 0.0),
        "student_global": of_global,
        "student_local": of_local,
        "heads": (rows + masked) * per_row,
        "block": max(block_global, block_local),
        "loss": tables + targets + passing,
    }
    held = sum(parts[part] for part in ("parameters", "optimiser", "teacher", "exchange"))
    copies, gradients = parts["copies"], parts["gradients"]
    later = 0.0 if train.activation_checkpointing else copies  # recomputed blocks cast their own
    kept = of_global + of_local + parts["heads"] + tables
    before = gradients if train.accumulate > 1 else 0.0  # of the micro-batches before
    moments = (
        taught,
        before + kept + copies + targets + passing,  # the loss
        before + kept + later + block_local,  # the backward pass begins with the local crops
        gradients + of_global + later + block_global,
    )
    return {**parts, "total": held + max(moments)}
