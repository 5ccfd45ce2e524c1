"""Where in the image is what a probe reads? Its weight applied to each patch token, standardised alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_probes._errors import ProbeError
from raddino_probes._head import LinearHead
from raddino_probes._resample import Array

_BLOCK = 64  # images at a time: tokens may be memory-mapped


def patch_maps(head: LinearHead, tokens: NDArray[Any]) -> Array:
    """Log odds of each patch (N, h, w) of patch tokens (N, D, h, w), of which float16 and memory-mapped will do.

    For a head on mean patches the mean of a map is the image's log odds: the map divides them among the patches. For
    a head on class tokens it shows which patches resemble what the head looks for, no more.

    Raises:
        ProbeError: tokens of another shape.
    """
    length = len(head.weight)
    if tokens.ndim != 4 or tokens.shape[1] != length:
        raise ProbeError(f"tokens: expected (N, {length}, h, w) for this head, got {tokens.shape}")
    scaled = head.weight / head.deviation
    offset = head.bias - float(head.mean @ scaled)
    maps = np.empty((len(tokens), *tokens.shape[2:]))
    for start in range(0, len(tokens), _BLOCK):
        some = np.asarray(tokens[start : start + _BLOCK], np.float64)
        maps[start : start + _BLOCK] = np.einsum("d,ndhw->nhw", scaled, some) + offset
    return maps


def mean_maps(maps: Array, groups: ArrayLike) -> dict[str, Array]:
    """The mean map (h, w) of each group of images: by sex or age band, or of one patient's images by patient.

    Args:
        maps: (N, h, w).
        groups: (N,) labels; "" and None are left out.

    Raises:
        ProbeError: lengths that differ.
    """
    labels = np.array(["" if label is None else str(label) for label in np.asarray(groups, object).ravel()])
    if len(labels) != len(maps):
        raise ProbeError(f"groups: expected a label for each of {len(maps)} maps, got {len(labels)}")
    return {str(name): maps[labels == name].mean(0) for name in np.unique(labels) if name}
