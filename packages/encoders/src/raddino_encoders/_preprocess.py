"""Grey images of any shape and depth to the square, normalised batch an encoder reads, and masks to the same square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raddino_encoders._errors import EncoderError
from raddino_encoders._geometry import Fit, Placement, place
from raddino_encoders._read import Picture, to_grey
from raddino_encoders._resample import Resample, resize, resize_spline


@dataclass(frozen=True)
class Preprocessing:
    """How an encoder wants its input; means and standard deviations are of pixels in [0, 1], one per channel."""

    size: int
    """Side of the input in pixels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    short_side: int | None = None
    """Short side before the centre crop, where it differs from `size`."""
    resample: Resample = "bicubic"
    spline: bool = False
    """Images deeper than 8 bits are resized by cubic B-splines, as RAD-DINO's were before they became 8 bits."""
    fit: Fit = "crop"
    """What the encoder was released with."""
    source: str = ""
    """Where these numbers come from."""

    def at(self, size: int) -> Preprocessing:
        """The same for another side of the input; the part that a crop leaves out stays the same."""
        short = None if self.short_side is None else round(self.short_side * size / self.size)
        return replace(self, size=size, short_side=short)

    def images(self, images: Sequence[Picture], fit: Fit | None) -> Tensor:
        """Normalised float32 (B, C, size, size); grey is repeated where the encoder has three channels."""
        if not len(images):
            raise EncoderError("images: expected at least one, got none")
        squares = np.stack([self._square(image, fit or self.fit, i) for i, image in enumerate(images)])
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (torch.from_numpy(squares).unsqueeze(1).expand(-1, len(self.mean), -1, -1) - mean) / std

    def _square(self, image: Picture, fit: Fit, index: int) -> NDArray[np.float32]:
        pixels = to_grey(image, f"image {index}")
        at = place(pixels.shape[0], pixels.shape[1], self.size, fit, self.short_side)
        if self.spline and pixels.dtype != np.uint8:
            small = resize_spline(pixels, at.height, at.width)
        else:
            small = resize(pixels, at.height, at.width, self.resample)
        # Black border: radiographs end in black (air, collimator).
        square = np.zeros((self.size, self.size), np.float32)
        rows, columns = _overlap(at, self.size)
        square[rows[0], columns[0]] = small[rows[1], columns[1]]
        return square

    def masks(self, masks: Sequence[NDArray[Any]], fit: Fit | None) -> NDArray[Any]:
        """Masks (H, W), any integer or boolean type, to (B, size, size) of that type: nearest pixel, border 0."""
        if not len(masks):
            raise EncoderError("masks: expected at least one, got none")
        return np.stack([self._square_mask(mask, fit or self.fit, i) for i, mask in enumerate(masks)])

    def _square_mask(self, mask: NDArray[Any], fit: Fit, index: int) -> NDArray[Any]:
        if mask.ndim != 2 or not mask.size or mask.dtype.kind not in "biu":
            raise EncoderError(f"mask {index}: expected integers (H, W), got {mask.dtype} {mask.shape}")
        at = place(mask.shape[0], mask.shape[1], self.size, fit, self.short_side)
        small = mask[np.ix_(_nearest(mask.shape[0], at.height), _nearest(mask.shape[1], at.width))]
        square = np.zeros((self.size, self.size), mask.dtype)
        rows, columns = _overlap(at, self.size)
        square[rows[0], columns[0]] = small[rows[1], columns[1]]
        return square


def _nearest(length: int, target: int) -> NDArray[np.int64]:
    """For each of `target` pixels the source pixel under its centre."""
    return np.floor((np.arange(target) + 0.5) * length / target).astype(np.int64).clip(0, length - 1)


def _overlap(at: Placement, side: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """For rows and for columns: the slice of the square and the slice of the resized image that meet."""

    def axis(start: int, length: int) -> tuple[slice, slice]:
        first, last = max(start, 0), min(start + length, side)
        return slice(first, last), slice(first - start, last - start)

    return axis(at.top, at.height), axis(at.left, at.width)
