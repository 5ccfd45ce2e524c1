"""B-spline resampling as two banded linear maps, one an axis.

Order-3 interpolation (Unser 1999, "Splines: a perfect fit for signal and image processing") is linear: the output is
W C x, where C solves the tridiagonal prefilter with mirrored ends and W holds four weights a row. C decays by 0.27 a
pixel, so W C is banded; it depends on the sizes alone and is kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.sparse import csr_matrix

from cxr_io._errors import CxrError

_NEGLIGIBLE = 1e-7


def resize_bspline(pixels: NDArray[Any], short_side: int) -> NDArray[Any]:
    """Resize (H, W) so that its short side has `short_side` pixels, aspect ratio kept to the pixel.

    Pixel areas are aligned: the centre of output pixel i lies at (i + 0.5) * scale - 0.5 of the input. No smoothing
    goes before, as in the paper's preprocessing. Integers are rounded and clipped to their type's range; floats keep
    what the spline gives.
    """
    if pixels.ndim != 2 or min(pixels.shape) < 2:
        raise CxrError("usage", f"expected an image (H, W) of at least 2 x 2 pixels, got shape {pixels.shape}")
    if short_side < 1:
        raise CxrError("usage", f"expected a short side of at least 1 pixel, got {short_side}")
    height, width = pixels.shape
    scale = short_side / min(height, width)
    rows, columns = (short_side if n == min(height, width) else max(1, round(n * scale)) for n in (height, width))
    across = _map(width, columns) @ pixels.T.astype(np.float32)
    result = _map(height, rows) @ np.ascontiguousarray(across.T)
    if np.issubdtype(pixels.dtype, np.integer):
        limits = np.iinfo(pixels.dtype)
        return np.asarray(np.clip(np.round(result), limits.min, limits.max), dtype=pixels.dtype)
    return np.asarray(result, dtype=np.float32)


@lru_cache(maxsize=64)
def _map(n: int, m: int) -> csr_matrix:
    """The map (m, n) from n samples to m along one axis."""
    at = (np.arange(m) + 0.5) * (n / m) - 0.5
    first = np.floor(at).astype(int) - 1
    t = at - np.floor(at)
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    spread = np.zeros((n, m))
    for k in range(4):
        i = np.abs(first + k)
        i = np.where(i >= n, 2 * (n - 1) - i, i)
        np.add.at(spread, (i, np.arange(m)), weights[:, k])
    # The prefilter's matrix, transposed, as bands; the mirror doubles the neighbour of each end.
    bands = np.full((3, n), 1 / 6)
    bands[1] = 4 / 6
    bands[2, 0] = bands[0, n - 1] = 2 / 6
    dense = solve_banded((1, 1), bands, spread).T
    dense[np.abs(dense) < _NEGLIGIBLE] = 0
    return csr_matrix(dense.astype(np.float32))
