"""Features to zero mean and unit deviation, by the training rows alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def moments(train: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation (D,) of the columns of (N, D); the deviation of a constant column is 1."""
    mean, std = train.mean(0), train.std(0)
    # What rounding leaves of a constant column must not be blown up to unit deviation.
    std[std <= 1e-12 * np.abs(mean)] = 1.0
    std[std == 0] = 1.0
    return mean, std


def standardise(
    train: NDArray[np.float64], *others: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """(N, D) arrays shifted and scaled by the mean and deviation of `train`; a constant column becomes zero in it."""
    mean, std = moments(train)
    return (train - mean) / std, [(other - mean) / std for other in others]
