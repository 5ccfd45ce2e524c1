"""Images of another domain that need no file: random fields and blobs, in which nothing is like a chest."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_FIELDS, _BLOBS = 3, 6


def texture(index: int, side: int) -> NDArray[np.uint16]:
    """The texture of a number: (side, side), from 0 to 65,535."""
    rng = np.random.default_rng((index, side))
    grey = np.zeros((side, side), np.float32)
    for _ in range(_FIELDS):
        along, across = side * 2.0 ** rng.uniform(-7, -3, 2)
        field = cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), sigmaX=along, sigmaY=across)
        grey += np.float32(rng.uniform(0.2, 1)) * field / field.std()
    for _ in range(rng.integers(_BLOBS + 1)):
        centre, axes = rng.integers(0, side, 2).tolist(), rng.integers(1, side // 3, 2).tolist()
        blob = np.zeros_like(grey)
        cv2.ellipse(blob, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
        grey += np.float32(rng.normal(0, 1.5)) * cv2.GaussianBlur(blob, (0, 0), 1.0)
    low, high = grey.min(), grey.max()
    return np.asarray(np.rint((grey - low) / (high - low) * 65535), np.uint16)
