"""Boxes of an image at another size: along the axes with a filter as wide as a new pixel, or on an affine grid.

Everything works on images (C, H, W) and volumes (C, D, H, W). Boxes are given in pixels by their sides and centres,
axis by axis in the order of the image's shape; the first pixel covers 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Boxes:
    """Where views lie in their images; `angle` turns them in the plane of the last two axes, in radians."""

    sides: Float[Tensor, "n a"]
    centre: Float[Tensor, "n a"]
    flip: Bool[Tensor, "n a"]
    angle: Float[Tensor, "n"]

    def __getitem__(self, rows: slice) -> Boxes:
        """Some of them."""
        return Boxes(self.sides[rows], self.centre[rows], self.flip[rows], self.angle[rows])


def bicubic(images: Sequence[Tensor], boxes: Boxes, out: Float[Tensor, "n c *axes"]) -> None:
    """Boxes into `out` by a cubic filter that widens where pixels are reduced, so that nothing aliases; in [0, 1].

    Box i is of image i modulo their number. Boxes that are not turned are cut at whole pixels, and equal torchvision's
    `resized_crop`. Others are first reduced in the box around them, then sampled once on their grid.
    """
    size = out.shape[2:]
    for i, room in enumerate(out):
        image, box = images[i % len(images)], boxes[i : i + 1]
        if box.angle == 0:
            sides = [min(max(round(s), 1), n) for s, n in zip(box.sides[0].tolist(), image.shape[1:], strict=True)]
            start = [
                min(max(round(c - s / 2), 0), n - s)
                for c, s, n in zip(box.centre[0].tolist(), sides, image.shape[1:], strict=True)
            ]
            view = _resize(_cut(image, start, sides), size)
            flipped = [1 + axis for axis, flip in enumerate(box.flip[0].tolist()) if flip]
            room.copy_(view.flip(flipped) if flipped else view)
        else:
            room.copy_(_turned(image, box, size))
    out.clamp_(0, 1)


def bilinear(images: Sequence[Tensor], boxes: Boxes, out: Float[Tensor, "n c *axes"]) -> None:
    """Boxes into `out`, sampled once on their grid, all at once where the images have one shape.

    Box i is of image i modulo their number. Nothing is averaged where pixels are reduced: for images hardly larger
    than the views.
    """
    if len({image.shape for image in images}) == 1:
        out.copy_(_on_grid(torch.stack(list(images)), images[0].shape[1:], boxes, out.shape[2:], "bilinear"))
        return
    for i, room in enumerate(out):
        image = images[i % len(images)]
        room.copy_(_on_grid(image[None], image.shape[1:], boxes[i : i + 1], out.shape[2:], "bilinear")[0])


def _cut(image: Tensor, start: Sequence[int], sides: Sequence[int]) -> Tensor:
    return image[(slice(None), *(slice(a, a + s) for a, s in zip(start, sides, strict=True)))]


def _resize(image: Tensor, size: Sequence[int]) -> Tensor:
    """Cubic with antialiasing along every axis; depth is an axis of a picture whose other axis is all the rest."""
    channels = image.shape[0]
    if len(size) == 3:
        flat = image.reshape(1, channels, image.shape[1], -1)
        flat = F.interpolate(flat, size=(size[0], flat.shape[-1]), mode="bicubic", antialias=True)
        image = flat.reshape(channels * size[0], *image.shape[2:])
    plane = F.interpolate(image[None], size=tuple(size[-2:]), mode="bicubic", antialias=True)
    return plane.reshape(channels, *size)


def _turned(image: Tensor, box: Boxes, size: Sequence[int]) -> Tensor:
    shape, sides, centre = image.shape[1:], box.sides[0], box.centre[0].tolist()
    half = ((_rotations(box.angle, len(shape))[0].abs() @ sides.flip(0)).flip(0) / 2).tolist()
    low = [min(max(math.floor(c - h), 0), n - 1) for c, h, n in zip(centre, half, shape, strict=True)]
    high = [max(min(math.ceil(c + h), n), a + 1) for c, h, n, a in zip(centre, half, shape, low, strict=True)]
    window = [b - a for a, b in zip(low, high, strict=True)]
    # Per axis: how many of the image's pixels go into one of the view's, if more than one.
    reduced = [max(side / n, 1.0) for side, n in zip(sides.tolist(), size, strict=True)]
    grid = [max(round(w / r), 1) for w, r in zip(window, reduced, strict=True)]
    around = _cut(image, low, window)
    if grid != window:
        around = _resize(around, grid)
    inside = Boxes(box.sides, box.centre - torch.tensor(low), box.flip, box.angle)
    return _on_grid(around[None], window, inside, size, "bicubic" if len(size) == 2 else "bilinear")[0]


def _rotations(angle: Tensor, axes: int) -> Tensor:
    """Matrices (n, axes, axes) that turn x towards y; axes in the order x, y, z."""
    turn = torch.eye(axes).repeat(len(angle), 1, 1)
    turn[:, 0, 0] = turn[:, 1, 1] = torch.cos(angle)
    turn[:, 1, 0] = torch.sin(angle)
    turn[:, 0, 1] = -turn[:, 1, 0]
    return turn


def _on_grid(images: Tensor, extent: Sequence[int], boxes: Boxes, size: Sequence[int], mode: str) -> Tensor:
    """One sample of an image for each pixel of its views; all views of an image are sampled as one long picture.

    `extent` is the shape of the images in the pixels in which the boxes are given.
    """
    n, axes, device = len(images), len(size), images.device
    # grid_sample's axes are x, y, z and its unit is half the image: the reverse of a shape's order, in pixels.
    shape = torch.tensor(extent).flip(0)
    signed = torch.where(boxes.flip, -boxes.sides, boxes.sides).flip(1)
    linear = (_rotations(boxes.angle, axes) @ torch.diag_embed(signed) / shape[:, None]).to(device, non_blocking=True)
    grid = (boxes.centre.flip(1) * 2 / shape - 1).to(device, non_blocking=True).view(-1, *[1] * axes, axes)
    for j, pixels in enumerate(reversed(size)):
        place = (torch.arange(pixels, device=device) * 2 + 1) / pixels - 1
        grid = grid + linear[:, :, j].view(-1, *[1] * axes, axes) * place.view(-1, *[1] * (j + 1))
    long = grid.view(-1, n, *grid.shape[1:]).transpose(0, 1).flatten(1, 2)
    views = F.grid_sample(images, long, mode=mode, padding_mode="border", align_corners=False)
    return views.reshape(n, views.shape[1], -1, *size).movedim(2, 0).flatten(0, 1)
