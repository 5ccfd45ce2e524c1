"""Intensity policies: how measured values become the sixteen bits that are kept.

Stored pixels are integers of at most 16 bits, so everything that happens to one pixel alone is a table over the 256 or
65,536 words that may occur, worked out in float64; the picture is looked up in it once. That is exact, and no copy of
the picture in a wider type is made.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_io._errors import CxrError

POLICIES = ("minmax", "window", "percentile")
FULL = 65535
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: red, green, blue
_PERCENTILES = (0.005, 0.995)


def check_policy(name: str) -> str:
    """The name itself, if it is one of `POLICIES`."""
    if name not in POLICIES:
        raise CxrError("usage", f"expected an intensity policy of {', '.join(POLICIES)}; got {name!r}")
    return name


def count(words: NDArray[Any]) -> NDArray[np.float64]:
    """How often each word occurs in an image (H, W) of uint8 or uint16: 256 or 65,536 counts."""
    size = 1 << 8 * words.itemsize
    counts = cv2.calcHist([words], [0], None, [size], [0, size])
    return np.asarray(counts, np.float64).ravel()


def stretch(values: NDArray[np.float64], counts: NDArray[np.float64], percentile: bool = False) -> NDArray[np.float64]:
    """Spread `values`, one a word, linearly over 0..1 and clip them there.

    The ends are the smallest and largest value of a word that occurs (`counts` above 0), or the 0.5th and 99.5th
    percentile of all pixels, as `numpy.percentile` has it.
    """
    seen = counts > 0
    if not seen.any():
        raise CxrError("constant", "expected an image, got padding alone")
    low, high = _percentiles(values[seen], counts[seen]) if percentile else (values[seen].min(), values[seen].max())
    if not high > low:
        raise CxrError("constant", f"expected an image, got one value everywhere ({low:g})")
    return np.clip((values - low) / (high - low), 0, 1)


def look_up(words: NDArray[Any], levels: NDArray[np.float64]) -> NDArray[np.uint16]:
    """The image (H, W) of each word's level in 0..1, over 0..65535."""
    return np.asarray(cv2.LUT(words, np.rint(levels * FULL).astype(np.uint16)), np.uint16)


def light(samples: NDArray[Any], channels: tuple[int, int, int] = (0, 1, 2)) -> NDArray[np.uint16]:
    """The light (H, W) over 0..65535 of unsigned samples (H, W, C); `channels` says where red, green and blue are."""
    scale = FULL / np.iinfo(samples.dtype).max
    result = np.empty(samples.shape[:2], np.uint16)
    for out, row in zip(result, samples, strict=True):
        red, green, blue = (row[:, channel] * (weight * scale) for channel, weight in zip(channels, LUMA, strict=True))
        out[:] = np.rint(red + green + blue)
    return result


def _percentiles(values: NDArray[np.float64], counts: NDArray[np.float64]) -> list[float]:
    order = np.argsort(values)
    values, last = values[order], np.cumsum(counts[order])
    ends = []
    for part in _PERCENTILES:
        at = part * (last[-1] - 1)
        below, above = (values[np.searchsorted(last, k, side="right")] for k in (np.floor(at), np.ceil(at)))
        ends.append(float(below + (above - below) * (at - np.floor(at))))
    return ends
