"""What every encoder gives: one class token and a grid of patch tokens per image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = TypeVar("Array", Tensor, NDArray[np.float32])


@dataclass(frozen=True)
class Tokens(Generic[Array]):
    """Tokens of B images, as torch tensors (`Encoder.encode`) or float32 numpy arrays (`Encoder.embed`)."""

    cls: Array
    """Class token, (B, D)."""
    patches: Array
    """Patch tokens on their grid, row 0 at the top of the image, (B, D, h, w)."""
