"""What an image must be before views are made of it: rank, channels, depth and range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssl_core._errors import SslError

if TYPE_CHECKING:
    from jaxtyping import Float


def to_unit(image: Tensor) -> Float[Tensor, "c *axes"]:
    """Integers to float32 in [0, 1] by their type's range; floats as they are."""
    if image.is_floating_point():
        return image.float()
    return image.float() / torch.iinfo(image.dtype).max


def check_image(image: Tensor, index: int, channels: int, axes: int) -> Tensor:
    """The image, if views can be made of it: (C, H, W) or (C, D, H, W), and no value outside its range.

    Raises:
        SslError: wrong rank or channel count, an empty axis, a type that has no range, values below 0, above 1 in
            floats, or NaN; it names the image's index.
    """
    shape = f"(C={channels}, {'D, H, W' if axes == 3 else 'H, W'})"
    if image.ndim != 1 + axes or image.shape[0] != channels or 0 in image.shape:
        raise SslError(
            f"image {index}: expected {shape}, got {tuple(image.shape)}; set model.channels or change the data set"
        )
    if image.dtype == torch.bool or image.is_complex():
        raise SslError(f"image {index}: expected integers or floats, got {image.dtype}")
    if image.is_floating_point() or image.dtype.is_signed:
        low, high = (float(v) for v in image.aminmax())
        most = 1.0 if image.is_floating_point() else float(torch.iinfo(image.dtype).max)
        if not (low >= 0 and high <= most):  # also where either is NaN
            raise SslError(
                f"image {index}: expected values from 0 to {most:g}, got {low:g} to {high:g}; "
                "window or scale the image, and replace what is not a number"
            )
    return image
