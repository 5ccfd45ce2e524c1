"""What a mask is: a label map of structures that exclude each other, or a plane a structure where they overlap.

A label map (N, H, W) of integers is 0 on background and k on `classes[k - 1]`; planes (N, C, H, W) are boolean, plane k
being `classes[k]`. Which of the two it is decides what a model learns: one structure a pixel, or any number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raddino_seg._errors import SegError

Masks = NDArray[Any]


def overlapping(masks: Masks) -> bool:
    """Whether these are planes."""
    return masks.ndim == 4


def check_masks(masks: Masks, classes: Sequence[str]) -> Masks:
    """Masks as they came, if they are one of the two forms and fit the classes.

    Raises:
        SegError: no class, another shape or type, no image, a value that stands for no class.
    """
    if not classes:
        raise SegError("expected the name of at least one class")
    planes = masks.ndim == 4 and masks.dtype == np.bool_
    if not planes and not (masks.ndim == 3 and np.issubdtype(masks.dtype, np.integer)):
        raise SegError(
            "expected integer label maps (N, H, W), or boolean planes (N, C, H, W) of structures that overlap; got "
            f"{masks.dtype} of shape {masks.shape}"
        )
    if len(masks) == 0:
        raise SegError("expected at least one image, got none")
    if planes:
        if masks.shape[1] != len(classes):
            raise SegError(f"expected a plane for each of {len(classes)} classes, got {masks.shape[1]}")
        return masks
    for image, (low, high) in enumerate(zip(masks.min(axis=(1, 2)), masks.max(axis=(1, 2)), strict=True)):
        if low < 0 or high > len(classes):
            raise SegError(
                f"expected mask values 0..{len(classes)} for {len(classes)} classes, got {low}..{high} in image "
                f"{image}; from_values() and from_bits() read other codes"
            )
    return masks


def check_every_class(masks: Masks, classes: Sequence[str]) -> None:
    """Refuse to learn a class of which there is not a pixel.

    Raises:
        SegError: a class is in no mask.
    """
    for k, name in enumerate(classes):
        if not plane(masks, k).any():
            raise SegError(
                f"expected every class in some mask; {name!r} (value {k + 1}) is in none of {len(masks)}; leave it out"
            )


def plane(masks: Masks, k: int) -> NDArray[np.bool_]:
    """Where class k (from 0) is, (N, H, W)."""
    return np.asarray(masks[:, k] if overlapping(masks) else masks == k + 1)


def from_values(masks: NDArray[np.integer], values: Sequence[int]) -> NDArray[np.uint8]:
    """Label maps of masks (N, H, W) with a code of their own: `values[k]` becomes k + 1, such as (255,) for 0 / 255.

    Raises:
        SegError: a value that is neither 0 nor one of these.
    """
    found = np.zeros(masks.shape, np.uint8)
    for k, value in enumerate(values, 1):
        found[masks == value] = k
    foreign = np.unique(masks[(found == 0) & (masks != 0)])
    if foreign.size:
        raise SegError(f"expected mask values 0, {', '.join(map(str, values))}; got {', '.join(map(str, foreign[:5]))}")
    return found


def from_bits(masks: NDArray[np.unsignedinteger], count: int) -> NDArray[np.bool_]:
    """Planes (N, count, H, W) of bit fields (N, H, W): bit k is class k.

    Raises:
        SegError: a bit beyond `count`.
    """
    if masks.size and int(masks.max()) >> count:
        raise SegError(f"expected {count} bits, got the value {int(masks.max())}")
    bits = np.arange(count, dtype=masks.dtype)[:, None, None]
    return np.asarray((masks[:, None] >> bits) & 1, dtype=np.bool_)


def mean_mask(masks: Masks) -> Masks:
    """The commonest value at each pixel: what a model that sees nothing would say. (H, W), or planes (C, H, W)."""
    if overlapping(masks):
        return np.asarray(masks.mean(axis=0) > 0.5)
    votes = np.stack([(masks == value).sum(axis=0) for value in range(int(masks.max()) + 1)])
    return np.asarray(votes.argmax(axis=0), dtype=np.uint8)
