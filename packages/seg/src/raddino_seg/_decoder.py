"""A linear map from patch tokens to classes, read out at the image's size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

from raddino_seg._errors import SegError

Tokens = Tensor | NDArray[np.floating]


class LinearDecoder(nn.Module):
    """Logits (N, C + 1, h, w) of standardised tokens (N, D, h, w); class 0 is background, the others `classes`."""

    mean: Tensor
    scale: Tensor

    def __init__(self, embed_dim: int, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.classes = classes
        self.weight = nn.Parameter(torch.randn(len(classes) + 1, embed_dim) * 0.01)
        self.bias = nn.Parameter(torch.zeros(len(classes) + 1))
        self.register_buffer("mean", torch.zeros(embed_dim))
        self.register_buffer("scale", torch.ones(embed_dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (N, C + 1, h, w); the standardisation is folded into the weights."""
        weight = self.weight * self.scale
        return conv2d(tokens.float(), weight[:, :, None, None], self.bias - weight @ self.mean)

    @torch.no_grad()
    def predict(self, tokens: Tokens, size: tuple[int, int], batch_size: int = 64) -> NDArray[np.uint8]:
        """Label maps (N, H, W) of `size`: logits enlarged bilinearly, then the strongest class."""
        tokens = as_tokens(tokens)
        if tokens.shape[1] != self.weight.shape[1]:
            raise SegError(f"expected tokens of {self.weight.shape[1]} channels, got {tokens.shape[1]}")
        parts = [upsample(self(part), size).argmax(1).to(torch.uint8) for part in torch.split(tokens, batch_size)]
        return torch.cat(parts).numpy()

    def save(self, path: str | Path) -> None:
        """Write weights and class names as one safetensors file, whole or not at all."""
        path = Path(path)
        part = path.with_name(path.name + ".part")
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_file(state, part, metadata={"classes": json.dumps(self.classes)})
        part.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> LinearDecoder:
        """The decoder that `save` wrote."""
        try:
            with safe_open(path, framework="pt") as file:
                state = {name: file.get_tensor(name) for name in list(file.keys())}
                classes = tuple(json.loads(file.metadata()["classes"]))
            decoder = cls(state["weight"].shape[1], classes)
            decoder.load_state_dict(state)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise SegError(f"expected a decoder written by LinearDecoder.save at {path}: {error}") from error
        return decoder


def upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, pixel areas aligned."""
    return interpolate(logits, size=size, mode="bilinear", align_corners=False)


def as_tokens(tokens: Tokens) -> Tensor:
    """Tokens (N, D, h, w) as a finite tensor."""
    tensor = torch.as_tensor(tokens)
    if tensor.ndim != 4 or not tensor.is_floating_point():
        raise SegError(
            f"expected floating-point tokens (N, D, h, w), got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    if not tensor.isfinite().all():
        raise SegError("expected finite tokens, got NaN or infinity; look at the encoder's output")
    return tensor
