"""Grey images of any shape and depth to the square, normalised batch an encoder reads, and masks to the same square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from raddino_encoders._errors import EncoderError
from raddino_encoders._geometry import Fit, Placement, place


@dataclass(frozen=True)
class Preprocessing:
    """How an encoder wants its input; means and standard deviations are of pixels in [0, 1], one per channel."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    short_side: int | None = None

    def images(self, images: Sequence[NDArray[Any]], fit: Fit) -> Tensor:
        """Normalised float32 (B, C, size, size); grey is repeated where the encoder has three channels."""
        if not len(images):
            raise EncoderError("images: expected at least one, got none")
        squares = torch.stack([self._square(image, fit, i) for i, image in enumerate(images)])
        mean = torch.tensor(self.mean).view(1, -1, 1, 1)
        std = torch.tensor(self.std).view(1, -1, 1, 1)
        return (squares.expand(-1, len(self.mean), -1, -1) - mean) / std

    def _square(self, image: NDArray[Any], fit: Fit, index: int) -> Tensor:
        pixels = to_unit(image, index)
        at = place(image.shape[0], image.shape[1], self.size, fit, self.short_side)
        # The antialiased cubic of PIL, with which released encoders were trained; it overshoots, hence the clamp.
        small = interpolate(pixels[None, None], (at.height, at.width), mode="bicubic", antialias=True).clamp(0, 1)
        # Black border: radiographs end in black (air, collimator).
        square = torch.zeros(1, self.size, self.size)
        rows, columns = _overlap(at, self.size)
        square[0, rows[0], columns[0]] = small[0, 0, rows[1], columns[1]]
        return square

    def masks(self, masks: Sequence[NDArray[Any]], fit: Fit) -> NDArray[Any]:
        """Masks (H, W), any integer or boolean type, to (B, size, size) of that type: nearest pixel, border 0."""
        if not len(masks):
            raise EncoderError("masks: expected at least one, got none")
        return np.stack([self._square_mask(mask, fit, i) for i, mask in enumerate(masks)])

    def _square_mask(self, mask: NDArray[Any], fit: Fit, index: int) -> NDArray[Any]:
        if mask.ndim != 2 or not mask.size or mask.dtype.kind not in "biu":
            raise EncoderError(f"mask {index}: expected integers (H, W), got {mask.dtype} {mask.shape}")
        at = place(mask.shape[0], mask.shape[1], self.size, fit, self.short_side)
        small = mask[np.ix_(_nearest(mask.shape[0], at.height), _nearest(mask.shape[1], at.width))]
        square = np.zeros((self.size, self.size), mask.dtype)
        rows, columns = _overlap(at, self.size)
        square[rows[0], columns[0]] = small[rows[1], columns[1]]
        return square


def to_unit(image: NDArray[Any], index: int = 0) -> Tensor:
    """A grey image (H, W) as float32 in [0, 1]: uint8 over 255, uint16 over 65535, floats as they are.

    Raises:
        EncoderError: another shape or type, floats outside [0, 1] or not finite; the message names `index`.
    """
    if image.ndim != 2 or not image.size:
        raise EncoderError(f"image {index}: expected a grey image (H, W), got shape {image.shape}")
    if image.dtype in (np.uint8, np.uint16):
        return torch.from_numpy(image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max))
    if image.dtype.kind != "f":
        raise EncoderError(f"image {index}: expected uint8, uint16 or floats in [0, 1], got {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise EncoderError(f"image {index}: expected floats in [0, 1], got {low:g} to {high:g}; rescale it")
    return torch.from_numpy(image.astype(np.float32))


def _nearest(length: int, target: int) -> NDArray[np.int64]:
    """For each of `target` pixels the source pixel under its centre."""
    return np.floor((np.arange(target) + 0.5) * length / target).astype(np.int64).clip(0, length - 1)


def _overlap(at: Placement, side: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """For rows and for columns: the slice of the square and the slice of the resized image that meet."""

    def axis(start: int, length: int) -> tuple[slice, slice]:
        first, last = max(start, 0), min(start + length, side)
        return slice(first, last), slice(first - start, last - start)

    return axis(at.top, at.height), axis(at.left, at.width)
