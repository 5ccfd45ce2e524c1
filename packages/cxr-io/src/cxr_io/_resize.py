"""B-spline resampling as two banded linear maps, one an axis.

Order-3 interpolation (Unser 1999, "Splines: a perfect fit for signal and image processing") is linear in the samples:
a prefilter whose impulse response is GAIN * POLE^|k| on the signal mirrored at its ends, then four weights. The
response falls by 0.27 a sample, so each output needs a band of inputs. Bands of neighbours overlap; a few outputs
together are one small dense product, which BLAS does faster than any sparse one, on rows that stay in the cache.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr_io._errors import CxrError
from cxr_io._limits import check_pixels

_POLE = 3**0.5 - 2
_GAIN = -6 * _POLE / (1 - _POLE**2)
_REACH = 13  # POLE^13 is 4e-8, below float32's resolution
_TOGETHER = 24  # outputs a product: more multiply by more zeros, fewer read the shared inputs more often


def resize_bspline(pixels: NDArray[Any], short_side: int) -> NDArray[Any]:
    """Resize (H, W) so that its short side has `short_side` pixels, aspect ratio kept to the pixel.

    Pixel areas are aligned: the centre of output pixel i lies at (i + 0.5) * scale - 0.5 of the input. No smoothing
    goes before, as in the paper's preprocessing. Integers are rounded and clipped to their type's range; floats keep
    what the spline gives. Raises `CxrError` too_large where a narrow strip would become a huge one.
    """
    if pixels.ndim != 2 or min(pixels.shape) < 2:
        raise CxrError("usage", f"expected an image (H, W) of at least 2 x 2 pixels, got shape {pixels.shape}")
    if short_side < 1:
        raise CxrError("usage", f"expected a short side of at least 1 pixel, got {short_side}")
    least = min(pixels.shape)
    rows, columns = (short_side if n == least else max(1, round(n * short_side / least)) for n in pixels.shape)
    check_pixels(rows, columns)
    result = resample(pixels, rows, columns)
    if np.issubdtype(pixels.dtype, np.integer):
        limits = np.iinfo(pixels.dtype)
        np.rint(result, out=result)
        return np.clip(result, limits.min, limits.max, out=result).astype(pixels.dtype)
    return result


def resample(pixels: NDArray[Any], rows: int, columns: int) -> NDArray[np.float32]:
    """The image (H, W) on a grid of (rows, columns) over the same area, as float32; may overshoot its range."""
    height, width = pixels.shape
    down, across = _bands(height, rows), _bands(width, columns)
    result = np.empty((rows, columns), np.float32)
    for band in down:
        block = band.weights @ pixels[band.inputs].astype(np.float32)
        for other in across:
            result[band.outputs, other.outputs] = block[:, other.inputs] @ other.weights.T
    return result


class _Band(NamedTuple):
    """Some neighbouring outputs, the inputs that they need, and the weights (outputs, inputs)."""

    outputs: slice
    inputs: slice
    weights: NDArray[np.float32]


@lru_cache(maxsize=64)
def _bands(n: int, m: int) -> tuple[_Band, ...]:
    """The map from n samples to m along one axis."""
    at = (np.arange(m) + 0.5) * (n / m) - 0.5
    first = np.floor(at).astype(int)
    t = at - first
    spline = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    near = np.arange(-1 - _REACH, 3 + _REACH)
    prefilter = _GAIN * _POLE ** np.abs(np.arange(-1, 3)[:, None] - near)
    weights = spline @ prefilter
    weights /= weights.sum(axis=1, keepdims=True)  # what was cut off, so that a constant stays constant
    period = 2 * (n - 1)
    folded = np.abs((first[:, None] + near + n - 1) % period - (n - 1))  # mirrored about the first and last sample
    bands = []
    for start in range(0, m, _TOGETHER):
        index = folded[start : start + _TOGETHER]
        low, high = int(index.min()), int(index.max()) + 1
        dense = np.zeros((len(index), high - low), np.float64)
        np.add.at(dense, (np.arange(len(index))[:, None], index - low), weights[start : start + _TOGETHER])
        bands.append(_Band(slice(start, start + len(index)), slice(low, high), dense.astype(np.float32)))
    return tuple(bands)
