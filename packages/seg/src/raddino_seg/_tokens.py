"""Patch tokens of one layer or of several, and their mean and scale."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from raddino_seg._errors import SegError

Tokens = Tensor | NDArray[Any]
_AT_ONCE = 64


def as_tokens(tokens: Tokens) -> Tensor:
    """Tokens (N, D, h, w), or (N, L, D, h, w) of L layers from the first to the last, as a finite 5-D tensor.

    Raises:
        SegError: another shape or type, NaN or infinity.
    """
    tensor = torch.as_tensor(tokens)
    if tensor.ndim not in (4, 5) or not tensor.is_floating_point():
        raise SegError(
            "expected floating-point tokens (N, D, h, w), or (N, L, D, h, w) of several layers; got "
            f"{tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    if not all(part.isfinite().all() for part in torch.split(tensor, _AT_ONCE)):
        raise SegError("expected finite tokens, got NaN or infinity; look at the encoder's output")
    return layered(tensor)


def layered(tokens: Tensor) -> Tensor:
    """Tokens with an axis of layers."""
    return tokens if tokens.ndim == 5 else tokens[:, None]


def standardisation(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation (L, D) of tokens (N, L, D, h, w), over images and places."""
    count, axes = tokens[:, 0, 0].numel(), (0, 3, 4)
    parts = torch.split(tokens, _AT_ONCE)
    mean = torch.stack([part.double().sum(axes) for part in parts]).sum(0) / count
    spread = torch.stack([(part.double() - mean[:, :, None, None]).square().sum(axes) for part in parts]).sum(0)
    return mean.float(), (1 / (spread / count).sqrt().clamp(min=1e-6)).float()
