"""Random geometry of images and their masks alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from raddino_seg._errors import SegError


@dataclass(frozen=True)
class Augment:
    """Each image is turned, zoomed and shifted at random before it is encoded, so that no tokens can be kept.

    Nothing is mirrored: the patient's left and right are different structures.
    """

    degrees: float = 10.0
    """Turned by up to this, either way."""
    zoom: float = 0.15
    """Enlarged or reduced by up to this share."""
    shift: float = 0.08
    """Moved by up to this share of the side, in both directions."""

    def __post_init__(self) -> None:
        if min(self.degrees, self.zoom, self.shift) < 0 or self.zoom >= 1:
            raise SegError(f"expected degrees and shift of 0 or more and a zoom from 0 to 1, got {self}")

    def __call__(self, images: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, c, H, W) and label maps (B, h, w) or planes (B, C, h, w) of the same field, moved alike.

        Pixels from outside repeat the border of an image and are background in a mask.
        """
        theta = self._matrices(images)
        moved = grid_sample(
            images, affine_grid(theta, list(images.shape), False), padding_mode="border", align_corners=False
        )
        planes = (truth if truth.ndim == 4 else truth[:, None]).float()
        grid = affine_grid(theta, list(planes.shape), False)
        turned = grid_sample(planes, grid, mode="nearest", padding_mode="zeros", align_corners=False).to(truth.dtype)
        return moved, turned if truth.ndim == 4 else turned[:, 0]

    def _matrices(self, images: Tensor) -> Tensor:
        """One (2, 3) an image, of torch's own random numbers; rows and columns scale alike whatever the shape."""
        n, aspect = len(images), images.shape[3] / images.shape[2]
        angle, zoom, *shift = (2 * torch.rand(4, n, device=images.device) - 1).unbind()
        angle, scale = angle * math.radians(self.degrees), 1 / (1 + zoom * self.zoom)
        cos, sin = scale * angle.cos(), scale * angle.sin()
        rows = (cos, -sin / aspect, 2 * self.shift * shift[0], sin * aspect, cos, 2 * self.shift * shift[1])
        return torch.stack(rows, 1).reshape(n, 2, 3)
