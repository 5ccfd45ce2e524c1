"""The metrics by name, of every image and class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from raddino_seg._errors import SegError
from raddino_seg._masks import Masks, check_masks, plane
from raddino_seg._objects import object_sensitivity
from raddino_seg._overlap import dice, iou
from raddino_seg._surface import Spacing, average_surface_distance, hausdorff

OVERLAP = {"dice": dice, "iou": iou}
DISTANCE = {"hd95": hausdorff, "assd": average_surface_distance}
METRICS = (*OVERLAP, *DISTANCE, "sensitivity")
"""Dice, IoU, 95 % Hausdorff distance and average symmetric surface distance in mm, sensitivity per object."""


def measure(
    metric: str,
    prediction: Masks,
    truth: Masks,
    classes: Sequence[str],
    spacing: Sequence[Spacing | None] | None = None,
) -> NDArray[np.float64]:
    """One of `METRICS` for every image and class, (N, C), NaN where there is nothing to measure.

    Args:
        metric: its name.
        prediction: label maps (N, H, W) or planes (N, C, H, W).
        truth: the same.
        classes: their names.
        spacing: of each image's pixels (row, column) in mm; the distances need it.

    Raises:
        SegError: an unknown metric, masks of different sizes, a distance without spacing.
    """
    if metric not in METRICS:
        raise SegError(f"expected a metric of {', '.join(METRICS)}; got {metric!r}")
    if prediction.shape != truth.shape:
        raise SegError(f"expected a prediction and truth of one shape, got {prediction.shape} and {truth.shape}")
    check_masks(prediction, classes)
    check_masks(truth, classes)
    known = _known(metric, spacing, len(truth)) if metric in DISTANCE else []
    columns = []
    for k in range(len(classes)):
        a, b = plane(prediction, k), plane(truth, k)
        if metric in OVERLAP:
            columns.append(OVERLAP[metric](a, b))
        elif metric in DISTANCE:
            distance = cast(Callable[..., float], DISTANCE[metric])
            columns.append(np.array([distance(p, t, s) for p, t, s in zip(a, b, known, strict=True)]))
        else:
            columns.append(np.array([object_sensitivity(p, t) for p, t in zip(a, b, strict=True)]))
    return np.stack(columns, axis=1)


def _known(metric: str, spacing: Sequence[Spacing | None] | None, count: int) -> list[Spacing]:
    if spacing is None or len(spacing) != count:
        got = "none" if spacing is None else str(len(spacing))
        raise SegError(f"{metric} is in millimetres: expected the spacing of each of {count} images, got {got}")
    missing = [image for image, known in enumerate(spacing) if known is None or not min(known) > 0]
    if missing:
        raise SegError(
            f"{metric} is in millimetres, and the spacing of image {missing[0]} is {spacing[missing[0]]} "
            f"({len(missing)} of {count} have none): leave out the metric, or these images"
        )
    return [known for known in spacing if known is not None]
