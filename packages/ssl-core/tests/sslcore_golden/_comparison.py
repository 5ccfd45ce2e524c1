"""What is compared, how an error is measured, and how a folder is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ssl_core
import torch
from safetensors.torch import load_file
from torch import Tensor

DOUBLE, SINGLE = torch.float64, torch.float32


@dataclass(frozen=True)
class Comparison:
    """One number or array of a file beside ours."""

    file: str
    quantity: str
    name: str
    dtype: torch.dtype
    error: float
    bound: float

    @property
    def agrees(self) -> bool:
        """Whether the error is within the bound; one that is not a number is not."""
        return self.error <= self.bound


def relative(a: Tensor, b: Tensor) -> float:
    """max|a - b| / max|b|."""
    if a.numel() != b.numel():
        raise ValueError(f"expected {tuple(b.shape)}, got {tuple(a.shape)}")
    a, b = a.detach().double().flatten(), b.double().flatten()
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-300))


def ratio(a: float, b: float) -> float:
    """|a - b| / |b|."""
    return abs(a - b) / max(abs(b), 1e-300)


def read(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A file's settings and arrays."""
    arrays = folder / f"{name}.safetensors"
    return json.loads((folder / f"{name}.json").read_text()), load_file(arrays) if arrays.exists() else {}


def vit(settings: dict[str, Any], **changes: Any) -> ssl_core.VisionTransformer:
    """The encoder that a file's `model` states."""
    shape = {
        "embed_dim": settings["embed_dim"],
        "depth": settings["depth"],
        "num_heads": settings["num_heads"],
        "mlp_ratio": float(settings["mlp_ratio"]),
        "patch_size": settings["patch_size"],
        "image_size": settings["global_size"],
        "channels": 3,
        "registers": settings["num_register_tokens"],
        "pos_offset": settings["interpolate_offset"],
        "pos_antialias": settings["interpolate_antialias"],
    }
    return ssl_core.VisionTransformer(ssl_core.ViTConfig(**shape | changes))


def apply_pending(centre: ssl_core.Centre) -> Tensor:
    """The centre once the mean that is pending has entered it, as it does at the start of the next step."""
    k, dtype = len(centre.value), centre.value.dtype
    centre.bias(ssl_core.Logits(torch.zeros(0, 1, dtype=dtype), torch.zeros(k, 1, dtype=dtype)), 1.0)
    return centre.value
