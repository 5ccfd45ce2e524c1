"""Intensity policies: how measured values become the sixteen bits that are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxr_io._errors import CxrError

POLICIES = ("minmax", "window", "percentile")
FULL = 65535


def check_policy(name: str) -> str:
    """The name itself, if it is one of `POLICIES`."""
    if name not in POLICIES:
        raise CxrError("usage", f"expected an intensity policy of {', '.join(POLICIES)}; got {name!r}")
    return name


def to_sixteen_bits(
    values: NDArray[np.floating], kept: NDArray[np.bool_] | None, percentile: bool = False
) -> NDArray[np.uint16]:
    """Spread values (H, W) linearly over 0..65535.

    The ends are the smallest and largest value, or the 0.5th and 99.5th percentile. Pixels where `kept` is False
    (padding) have no say in the ends and become 0.
    """
    inside = values if kept is None else values[kept]
    if inside.size == 0:
        raise CxrError("constant", "expected an image, got padding alone")
    low, high = np.percentile(inside, (0.5, 99.5)) if percentile else (inside.min(), inside.max())
    if not high > low:
        raise CxrError("constant", f"expected an image, got one value everywhere ({float(low):g})")
    scaled = np.clip((values - low) * (FULL / (high - low)), 0, FULL)
    if kept is not None:
        scaled[~kept] = 0
    pixels: NDArray[np.uint16] = np.round(scaled).astype(np.uint16)
    return pixels
