"""Floating-point operations of a training step, counted on paper: matrix products alone, two for each multiply-add."""

from __future__ import annotations

import itertools
import math
import time

import torch

from ssl_core._config import Config, ModelConfig
from ssl_core._ffn import gated_width
from ssl_core._sizes import Size, axes_of, patch_grid, per_axis


def _kept(images: int, drop_path: float) -> float:
    """Share of a batch that takes a residual branch: drop path leaves the others out, with their work."""
    return max(int(images * (1 - drop_path)), 1) / images if drop_path else 1.0


def _blocks(model: ModelConfig, tokens: int) -> float:
    d, hidden = model.embed_dim, int(model.embed_dim * model.mlp_ratio)
    projections = 4 * d * d + (3 * d * gated_width(hidden) if model.ffn == "swiglu" else 2 * d * hidden)
    return model.depth * (2 * tokens * projections + 4 * tokens * tokens * d)


def _patches(model: ModelConfig, size: Size) -> int:
    return math.prod(patch_grid(size, model.patch_size, "size"))


def _embedding(model: ModelConfig, size: Size) -> float:
    pixels = math.prod(per_axis(model.patch_size, axes_of(model.patch_size)))
    return 2.0 * _patches(model, size) * model.embed_dim * model.channels * pixels


def encoder_flops(model: ModelConfig, size: Size) -> float:
    """Of one image of `size` x `size` pixels, or one volume, through the encoder."""
    return _embedding(model, size) + _blocks(model, _patches(model, size) + 1 + model.registers)


def step_flops(config: Config, step: int = 0) -> dict[str, float]:
    """Of one step by part: `teacher`, `anchor`, `student_global`, `student_local`, `heads`, and their sum, `total`.

    The least that the configuration asks for: a backward pass is twice its forward pass but for the patch embedding,
    whose input needs no gradient; masked patches are as many as expected; Sinkhorn-Knopp and recomputed activations
    are not counted.
    """
    model, head, crops = config.model, config.head, config.crops_at(step)
    images, globals_ = config.train.batch_size, 2 * config.train.batch_size
    micro = config.train.accumulate

    def student(size: Size, count: int) -> float:
        if not count:
            return 0.0
        blocks = _blocks(model, _patches(model, size) + 1 + model.registers)
        return count * (3 * blocks * _kept(count // micro, model.drop_path) + 2 * _embedding(model, size))

    patches = _patches(model, crops.global_size)
    masked = int(globals_ * config.masks.probability) * patches * sum(config.masks.ratio) / 2

    def row(prototypes: int, bottleneck: int) -> float:
        widths = [model.embed_dim, *[head.hidden] * (head.layers - 1), bottleneck, prototypes]
        return 2.0 * sum(a * b for a, b in itertools.pairwise(widths))

    of_class = row(head.prototypes, head.bottleneck)
    of_patch = row(head.ibot_prototypes or head.prototypes, head.ibot_bottleneck or head.bottleneck)
    whole = encoder_flops(model, crops.global_size)
    anchored = config.loss.gram_weight and step >= config.loss.gram_start
    # Two Gram matrices, and twice the student's again in the backward pass.
    likenesses = 2.0 * 4 * patches * patches * model.embed_dim
    parts = {
        "teacher": globals_ * whole,
        "anchor": globals_ * (whole + likenesses) if anchored else 0.0,
        "student_global": student(crops.global_size, globals_),
        "student_local": student(crops.local_size, images * crops.local_count),
        "heads": of_class * (4 * globals_ + 3 * images * crops.local_count) + of_patch * 4 * masked,
    }
    return {**parts, "total": sum(parts.values())}


def matmul_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a plain matrix product here: what a step's speed is a share of."""
    n = 8192 if device.type == "cuda" else 1024
    a = torch.randn(n, n, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        float((a @ a)[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - start)
    return float(2 * n**3 / best)
