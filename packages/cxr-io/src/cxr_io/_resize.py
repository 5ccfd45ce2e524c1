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
from cxr_io._intensity import FULL, check_policy
from cxr_io._limits import LIMITS
from cxr_io._read import Radiograph

_POLE = 3**0.5 - 2
_GAIN = -6 * _POLE / (1 - _POLE**2)
_REACH = 13  # POLE^13 is 4e-8, less than a step of the weights
_STEPS = 1 << 24  # of which weights are multiples
_ROUNDING = 1.5 * 2**43  # added and taken away, it leaves multiples of 2^-9
_TOGETHER = 16  # outputs a product: more multiply by more zeros, fewer read the shared inputs more often


def resize_bspline(pixels: NDArray[Any], short_side: int) -> NDArray[Any]:
    """Resize (H, W) so that its short side has `short_side` pixels, aspect ratio kept to the pixel.

    Pixel areas are aligned: the centre of output pixel i lies at (i + 0.5) * scale - 0.5 of the input. No smoothing
    goes before, as in the paper's preprocessing. Integers are rounded and clipped to their type's range; floats keep
    what the spline gives. Raises `CxrError` too_large where a narrow strip would become a huge one.
    """
    result = _resample(pixels, *_grid(pixels, short_side, 1.0))
    return _rounded(result, pixels.dtype) if np.issubdtype(pixels.dtype, np.integer) else result.astype(np.float32)


def resize_radiograph(radiograph: Radiograph, short_side: int, *, intensity: str = "minmax") -> NDArray[np.uint16]:
    """The image (H, W) with `short_side` square pixels on its short side, over 0..65535.

    As in RAD-DINO's preprocessing, resizing goes first and min-max after it: with the policy `minmax` that the
    radiograph was read by, the smallest and largest value of the result are 0 and 65535. Its high byte, rounded, is
    RAD-DINO's PNG. What overshoots by other policies is clipped.
    """
    check_policy(intensity)
    pixels = radiograph.pixels
    result = _resample(pixels, *_grid(pixels, short_side, radiograph.aspect))
    if intensity == "minmax":
        low, high = result.min(), result.max()
        if not high > low:
            raise CxrError("constant", f"expected an image, got one value everywhere at a short side of {short_side}")
        result = (result - low) * (FULL / (high - low))
    return _rounded(result, np.dtype(np.uint16))


def _grid(pixels: NDArray[Any], short_side: int, aspect: float) -> tuple[int, int]:
    """Rows and columns of the result, where an input pixel is `aspect` times as high as it is wide."""
    if pixels.ndim != 2 or min(pixels.shape) < 2:
        raise CxrError("usage", f"expected an image (H, W) of at least 2 x 2 pixels, got shape {pixels.shape}")
    if short_side < 1:
        raise CxrError("usage", f"expected a short side of at least 1 pixel, got {short_side}")
    sides = (pixels.shape[0] * aspect, float(pixels.shape[1]))
    rows, columns = (max(1, round(side * (short_side / min(sides)))) for side in sides)
    LIMITS.check_image(rows, columns)
    return rows, columns


def _rounded(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    np.rint(values, out=values)
    return np.clip(values, limits.min, limits.max, out=values).astype(dtype)


def _resample(pixels: NDArray[Any], rows: int, columns: int) -> NDArray[np.float64]:
    """The image (H, W) on a grid of (rows, columns) over the same area; may overshoot its range.

    Of integers of at most 16 bits the result is exact in the weights, which are multiples of 2^-24, and in multiples
    of 2^-9 between the axes: no product or sum needs more than float64's 53 bits. So it doesn't depend on the order in
    which BLAS adds up, which changes with the processor and the number of threads.
    """
    height, width = pixels.shape
    between = np.empty((rows, width))
    for band in _bands(height, rows):
        block = between[band.outputs]
        np.matmul(band.weights, pixels[band.inputs].astype(np.float64), out=block)
        if np.issubdtype(pixels.dtype, np.integer):
            block += _ROUNDING
            block -= _ROUNDING
    result = np.empty((rows, columns))
    for band in _bands(width, columns):
        result[:, band.outputs] = between[:, band.inputs] @ band.weights.T
    return result


class _Band(NamedTuple):
    """Some neighbouring outputs, the inputs that they need, and the weights (outputs, inputs)."""

    outputs: slice
    inputs: slice
    weights: NDArray[np.float64]


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
    weights = np.rint(weights * _STEPS) / _STEPS
    weights[:, _REACH + 1] += 1 - weights.sum(axis=1)  # what was cut off, so that a constant stays constant
    period = 2 * (n - 1)
    folded = np.abs((first[:, None] + near + n - 1) % period - (n - 1))  # mirrored about the first and last sample
    bands = []
    for start in range(0, m, _TOGETHER):
        index = folded[start : start + _TOGETHER]
        low, high = int(index.min()), int(index.max()) + 1
        dense = np.zeros((len(index), high - low), np.float64)
        np.add.at(dense, (np.arange(len(index))[:, None], index - low), weights[start : start + _TOGETHER])
        bands.append(_Band(slice(start, start + len(index)), slice(low, high), dense))
    return tuple(bands)
