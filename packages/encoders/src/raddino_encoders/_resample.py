"""Resizing one grey image: Pillow's kernels, with which encoders were released, and cubic B-splines, RAD-DINO's."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Resample = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
"""Pillow's kernels in the order of their numbers, which is how a transformers folder names them."""
KERNELS: tuple[Resample, ...] = get_args(Resample)


def resize(pixels: NDArray[Any], height: int, width: int, kernel: Resample) -> NDArray[np.float32]:
    """An image (H, W) of uint8, or of floats in [0, 1], as (height, width) float32 in [0, 1].

    uint8 stays uint8 until it is resized, as in the processors of released encoders, which round to whole grey values.
    """
    if pixels.shape != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling(KERNELS.index(kernel))))
    return _unit(pixels)


def resize_spline(pixels: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """An image (H, W) as (height, width) float32 over [0, 1]: order-3 interpolation without smoothing, then min-max.

    RAD-DINO's radiographs were resized so (model card of microsoft/rad-dino). The centre of output pixel i lies at
    (i + 0.5) * scale - 0.5 of the input. An image that keeps its size keeps its values.
    """
    if pixels.shape == (height, width):
        return pixels
    from scipy.ndimage import affine_transform  # takes a while to import, and few encoders need it

    scale = np.array(pixels.shape) / (height, width)
    resized = affine_transform(
        pixels, scale, offset=scale / 2 - 0.5, output_shape=(height, width), order=3, mode="mirror"
    )
    low, high = resized.min(), resized.max()
    return np.asarray((resized - low) / max(high - low, np.finfo(np.float32).tiny), np.float32)


def _unit(pixels: NDArray[Any]) -> NDArray[np.float32]:
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    return np.asarray(np.clip(pixels, 0, 1), np.float32)  # cubic kernels overshoot
