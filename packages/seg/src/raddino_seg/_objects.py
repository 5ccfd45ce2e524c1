"""Whether each object was found, for structures so thin or small that overlap says little."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

_COVERED = 0.5
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def object_sensitivity(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Share of the truth's objects of which the prediction covers at least half the pixels; NaN without objects.

    An object is a piece of a region (H, W) whose pixels touch, corners included.
    """
    pieces, count = label(truth, _EIGHT_NEIGHBOURS)
    if not count:
        return float("nan")
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    covered = np.bincount(pieces[prediction], minlength=count + 1)[1:]
    return float((covered >= _COVERED * sizes).mean())
