"""Prediction at an image's own size, window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raddino_seg._errors import SegError
from raddino_seg._masks import Masks

Windows = Sequence[NDArray[Any]]
_AT_ONCE = 8


def predict_tiled(
    chances: Callable[[Windows], NDArray[np.float32]], image: NDArray[Any], side: int, overlap: float = 0.5
) -> NDArray[np.float32]:
    """Chances (C, H, W) at every pixel of an image (H, W), from square windows that overlap.

    A side of the image's short side sees it at the scale of a central square, and covers what that leaves out; smaller
    windows see it enlarged. Where windows overlap, a pixel counts the more the nearer it is to a window's centre.

    Args:
        chances: takes up to 8 windows (side, side) and gives their chances (n, C, side, side).
        image: of any type that `chances` takes.
        side: of a window in pixels of the image.
        overlap: least share of a window that the next one covers again, from 0 and below 1.

    Raises:
        SegError: a side larger than the image, another overlap.
    """
    if image.ndim != 2 or not 1 <= side <= min(image.shape):
        raise SegError(f"expected an image (H, W) and windows from 1 to its short side; got {image.shape} and {side}")
    if not 0 <= overlap < 1:
        raise SegError(f"expected an overlap from 0 and below 1, got {overlap}")
    corners = [(y, x) for y in _starts(image.shape[0], side, overlap) for x in _starts(image.shape[1], side, overlap)]
    ramp = 1 - np.abs(2 * (np.arange(side) + 0.5) / side - 1)
    weight = np.outer(ramp, ramp).astype(np.float32)
    total, weights = np.zeros((), np.float32), np.zeros(image.shape, np.float32)
    for first in range(0, len(corners), _AT_ONCE):
        batch = corners[first : first + _AT_ONCE]
        for (y, x), found in zip(batch, chances([image[y : y + side, x : x + side] for y, x in batch]), strict=True):
            if not total.ndim:
                total = np.zeros((len(found), *image.shape), np.float32)
            total[:, y : y + side, x : x + side] += weight * found
            weights[y : y + side, x : x + side] += weight
    return np.asarray(total / weights)


def decide(chances: NDArray[np.float32], overlapping: bool) -> Masks:
    """The mask of chances (C, H, W): a label map (H, W) of the likeliest, background included, or planes (C, H, W)."""
    if overlapping:
        return np.asarray(chances > 0.5)
    background = 1 - chances.sum(axis=0, keepdims=True)
    return np.asarray(np.concatenate((background, chances)).argmax(axis=0), dtype=np.uint8)


def _starts(length: int, side: int, overlap: float) -> list[int]:
    count = 1 + int(np.ceil((length - side) / max(side * (1 - overlap), 1)))
    return [int(start) for start in np.linspace(0, length - side, count).round()]
