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

from ssl_core._losses import in_full

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

_HELD = 1 << 26  # numbers of filters or products that a GPU holds at a time


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


@dataclass(frozen=True)
class _Windows:
    """Whole pixels of an image from `low` on, `sides` along each axis, that are brought to `grid` pixels."""

    low: Int[Tensor, "n a"]
    sides: Int[Tensor, "n a"]
    grid: Int[Tensor, "n a"]


def bicubic(images: Sequence[Tensor], boxes: Boxes, out: Float[Tensor, "n c *axes"]) -> None:
    """Boxes into `out` by a cubic filter that widens where pixels are reduced, so that nothing aliases; in [0, 1].

    Box i is of image i modulo their number. Where none is turned they are cut at whole pixels, and equal torchvision's
    `resized_crop`. Otherwise each is first reduced in the box around it, then sampled once on its grid.
    """
    turned = bool(boxes.angle.any())
    windows = _windows(images, boxes, out.shape[2:], turned)
    make = _one_by_one if out.device.type == "cpu" else _by_products
    with in_full(out):
        make(images, boxes, windows, turned, out)
    out.clamp_(0, 1)


def bilinear(images: Sequence[Tensor], boxes: Boxes, out: Float[Tensor, "n c *axes"]) -> None:
    """Boxes into `out`, sampled once on their grid, all at once where the images have one shape.

    Box i is of image i modulo their number. Nothing is averaged where pixels are reduced: for images hardly larger
    than the views.
    """
    if len({image.shape for image in images}) == 1:
        out.copy_(_on_grid(torch.stack(list(images)), _extent(images[0]), boxes, out.shape[2:], "bilinear"))
        return
    for i, image in enumerate(images):
        its = slice(i, None, len(images))
        out[its] = _on_grid(image[None], _extent(image), boxes[its], out.shape[2:], "bilinear")


def _windows(images: Sequence[Tensor], boxes: Boxes, size: Sequence[int], turned: bool) -> _Windows:
    """Boxes at whole pixels, brought to the views' size; of turned ones what is around them, reduced as they are."""
    shapes = torch.stack([_extent(image) for image in images]).repeat(len(boxes.sides) // len(images), 1)
    sides, centre, pixels = boxes.sides.double(), boxes.centre.double(), torch.tensor(size)
    if not turned:
        sides = sides.round().clamp(min=1).minimum(shapes)
        low = (centre - sides / 2).round().clamp(min=0).minimum(shapes - sides)
        return _Windows(low.long(), sides.long(), pixels.expand(len(sides), -1))
    half = (_rotations(boxes.angle.double(), len(size)).abs() @ sides.flip(1)[:, :, None]).squeeze(2).flip(1) / 2
    low = (centre - half).floor().clamp(min=0).minimum(shapes - 1)
    around = (centre + half).ceil().minimum(shapes).maximum(low + 1) - low
    # Per axis: how many of the image's pixels go into one of the view's, if more than one.
    reduced = (sides / pixels).clamp(min=1)
    return _Windows(low.long(), around.long(), (around / reduced).round().clamp(min=1).long())


def _extent(image: Tensor) -> Tensor:
    return torch.tensor(image.shape[1:], dtype=torch.float64)


def _one_by_one(images: Sequence[Tensor], boxes: Boxes, windows: _Windows, turned: bool, out: Tensor) -> None:
    """View after view by torch's own filter, which looks at no pixel outside its reach: for a CPU."""
    size = out.shape[2:]
    inside = _inside(boxes, windows)
    corners = zip(windows.low.tolist(), windows.sides.tolist(), windows.grid.tolist(), strict=True)
    for i, (room, (low, sides, grid)) in enumerate(zip(out, corners, strict=True)):
        view = images[i % len(images)][(slice(None), *(slice(a, a + s) for a, s in zip(low, sides, strict=True)))]
        if grid != sides:
            view = _resize(view, grid)
        if turned:
            view = _on_grid(view[None], windows.sides[i], inside[i : i + 1], size, _mode(size))[0]
        else:
            view = view.flip([1 + axis for axis, flip in enumerate(boxes.flip[i].tolist()) if flip])
        room.copy_(view)


def _by_products(images: Sequence[Tensor], boxes: Boxes, windows: _Windows, turned: bool, out: Tensor) -> None:
    """All views by products with their filters as matrices: few large operations, for a GPU.

    Smaller images are filled up with zeros, which no filter reaches. Views that are reduced to fewer pixels than others
    repeat their last ones, as sampling beyond an edge would.
    """
    n, size = len(images), out.shape[2:]
    each, channels, axes = len(out) // n, out.shape[1], len(size)
    grid = windows.grid.amax(dim=0).tolist()
    views = out.new_empty(*out.shape[:2], *grid) if turned else out
    of_image = views.view(each, n, *views.shape[1:]).transpose(0, 1)
    flip = torch.zeros_like(boxes.flip) if turned else boxes.flip
    sent = torch.stack((windows.low, windows.sides, windows.grid, flip.long())).view(4, each, n, axes)
    sent = sent.transpose(1, 2).to(out.device, non_blocking=True)
    extent = _common(images)
    room = max(math.prod(extent[1:]) * grid[0], *(g * e for g, e in zip(grid, extent, strict=True)))
    some = max(1, _HELD // (channels * max(each * room, math.prod(extent))))
    for first in range(0, n, some):
        rows = slice(first, first + some)
        extent = _common(images[rows])
        filters = [_filters(sent[:, rows, :, a], *shape, out) for a, shape in enumerate(zip(grid, extent, strict=True))]
        whole = out.new_zeros(len(filters[0]), channels, *extent)
        for place, image in zip(whole, images[rows], strict=True):
            place[(slice(None), *map(slice, image.shape[1:]))] = image
        # Along the first axis all views of an image are one tall product.
        x = filters[0].flatten(1, 2)[:, None] @ whole.flatten(3)
        x = x.view(*whole.shape[:2], each, grid[0], *extent[1:])
        for a in range(1, axes):
            across = filters[a].mT  # (images, views, pixels of the image, of the view)
            across = across.view(len(whole), 1, each, *[1] * (axes - 2), *across.shape[2:])
            x = (x.movedim(3 + a, -1) @ across).movedim(-1, 3 + a)
        of_image[rows] = x.transpose(1, 2)
    if turned:
        covered = windows.sides * torch.tensor(grid) / windows.grid
        out.copy_(_on_grid(views, covered, _inside(boxes, windows), size, _mode(size)))


def _common(images: Sequence[Tensor]) -> list[int]:
    return [max(sides) for sides in zip(*(image.shape[1:] for image in images), strict=True)]


def _filters(sent: Int[Tensor, "4 *n"], count: int, extent: int, like: Tensor) -> Float[Tensor, "*n count extent"]:
    """Matrices along one axis that bring `sides` pixels from `low` on to `grid`, the last repeated up to `count`.

    `sent` holds low, sides, grid and whether it is flipped, on the device. Cubic convolution (Keys 1981, a = -1/2)
    stretched by how much is reduced, as Pillow and torch's `antialias` have it.
    """
    low, sides, grid, flip = sent[..., None]
    place = torch.arange(count, device=like.device).minimum(grid - 1)
    place = torch.where(flip.bool(), grid - 1 - place, place)
    # (place + 1/2) sides / grid - 1/2 pixels from `low`, in whole pixels and a rest: far into an image float32 would
    # lose the rest, and not every device has float64.
    twice = (2 * place + 1) * sides - grid
    whole = twice.div(2 * grid, rounding_mode="floor")
    pixel = torch.arange(extent, device=like.device)
    rest, reach = (twice - whole * 2 * grid) / (2 * grid), (sides / grid).clamp(min=1)
    apart = (pixel - (low + whole)[..., None].to(like.dtype)).sub_(rest[..., None]).div_(reach[..., None]).abs_()
    near = (1.5 * apart - 2.5) * apart * apart + 1
    far = ((-0.5 * apart + 2.5) * apart - 4) * apart + 2
    weights = torch.where(apart < 1, near, torch.where(apart < 2, far, 0.0))
    weights *= (pixel >= low[..., None]) & (pixel < (low + sides)[..., None])
    return weights.div_(weights.sum(dim=-1, keepdim=True))


def _resize(image: Tensor, size: Sequence[int]) -> Tensor:
    """Cubic with antialiasing along every axis; depth is an axis of a picture whose other axis is all the rest."""
    channels = image.shape[0]
    if len(size) == 3:
        flat = image.reshape(1, channels, image.shape[1], -1)
        flat = _cubic(flat, (size[0], flat.shape[-1]))
        image = flat.reshape(channels * size[0], *image.shape[2:])
    return _cubic(image[None], size[-2:]).reshape(channels, *size)


def _cubic(plane: Float[Tensor, "1 c h w"], size: Sequence[int]) -> Tensor:
    if size[1] == 1:  # torch mixes up the axes of one column
        return F.interpolate(plane.mT, size=(1, size[0]), mode="bicubic", antialias=True).mT
    return F.interpolate(plane, size=tuple(size), mode="bicubic", antialias=True)


def _inside(boxes: Boxes, windows: _Windows) -> Boxes:
    return Boxes(boxes.sides, boxes.centre - windows.low, boxes.flip, boxes.angle)


def _mode(size: Sequence[int]) -> str:
    return "bicubic" if len(size) == 2 else "bilinear"


def _rotations(angle: Tensor, axes: int) -> Tensor:
    """Matrices (n, axes, axes) that turn x towards y; axes in the order x, y, z."""
    turn = torch.eye(axes, dtype=angle.dtype).repeat(len(angle), 1, 1)
    turn[:, 0, 0] = turn[:, 1, 1] = torch.cos(angle)
    turn[:, 1, 0] = torch.sin(angle)
    turn[:, 0, 1] = -turn[:, 1, 0]
    return turn


def _on_grid(images: Tensor, extent: Tensor, boxes: Boxes, size: Sequence[int], mode: str) -> Tensor:
    """One sample of an image for each pixel of its views; all views of an image are sampled as one long picture.

    `extent` (a,), or (n, a) of each view, is the shape of the images in the pixels in which the boxes are given.
    """
    n, axes, device = len(images), len(size), images.device
    # grid_sample's axes are x, y, z and its unit is half the image: the reverse of a shape's order, in pixels.
    shape = extent.flip(-1).float()
    signed = torch.where(boxes.flip, -boxes.sides, boxes.sides).flip(1)
    linear = _rotations(boxes.angle, axes) @ torch.diag_embed(signed) / shape[..., None]
    linear = linear.to(device, non_blocking=True)
    grid = (boxes.centre.flip(1) * 2 / shape - 1).to(device, non_blocking=True).view(-1, *[1] * axes, axes)
    for j, pixels in enumerate(reversed(size)):
        place = (torch.arange(pixels, device=device) * 2 + 1) / pixels - 1
        grid = grid + linear[:, :, j].view(-1, *[1] * axes, axes) * place.view(-1, *[1] * (j + 1))
    long = grid.view(-1, n, *grid.shape[1:]).transpose(0, 1).flatten(1, 2)
    views = F.grid_sample(images, long, mode=mode, padding_mode="border", align_corners=False)
    return views.reshape(n, views.shape[1], -1, *size).movedim(2, 0).flatten(0, 1)
