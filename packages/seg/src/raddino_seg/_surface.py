"""How far apart the outlines of two regions are, in millimetres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

Region = NDArray[np.bool_]
Spacing = tuple[float, float]
"""Millimetres from row to row and from column to column."""


def hausdorff(prediction: Region, truth: Region, spacing: Spacing, percentile: float = 95) -> float:
    """The distance that this share of either outline's pixels stays within, the larger of both ways, in mm.

    Linear between pixels, as numpy's and MONAI's percentile. NaN where both regions (H, W) are empty; where one is,
    the image's diagonal, the worst there can be, for a miss must not be better than a bad hit.
    """
    ways = _distances(prediction, truth, spacing)
    if isinstance(ways, float):
        return ways
    return float(max(np.percentile(way, percentile) for way in ways))


def average_surface_distance(prediction: Region, truth: Region, spacing: Spacing) -> float:
    """Mean distance in mm from the pixels of either outline to the other one, both ways together (ASSD).

    Empty regions as for `hausdorff`.
    """
    ways = _distances(prediction, truth, spacing)
    return ways if isinstance(ways, float) else float(np.concatenate(ways).mean())


def _distances(
    prediction: Region, truth: Region, spacing: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | float:
    """From each pixel of an outline to the other outline, both ways; or the answer where a region is empty."""
    found, true = bool(prediction.any()), bool(truth.any())
    if not found and not true:
        return float("nan")
    if not found or not true:
        return float(np.hypot(prediction.shape[0] * spacing[0], prediction.shape[1] * spacing[1]))
    a, b = _cut(prediction, truth)
    edge_a, edge_b = outline(a), outline(b)
    to_a, to_b = (distance_transform_edt(~edge, sampling=spacing) for edge in (edge_a, edge_b))
    return to_b[edge_a], to_a[edge_b]


def outline(region: Region) -> Region:
    """Pixels of a region with one of their four neighbours outside it, or outside the image."""
    return np.asarray(region & ~binary_erosion(region))


def _cut(a: Region, b: Region) -> tuple[Region, Region]:
    """Both in the smallest box that holds both: distances are the same, and found sooner."""
    either = a | b
    rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return a[box], b[box]
