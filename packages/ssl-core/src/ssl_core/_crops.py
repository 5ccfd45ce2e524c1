"""Views of images: random resized crops with distorted intensities, on the device of the images.

Chance is drawn on the CPU for a whole batch and without looking at the images, so that processes which hold a part
of a batch each draw the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssl_core._config import CropConfig
from ssl_core._distort import distort, draw_looks, normalise, uniform
from ssl_core._resample import Boxes, bicubic, bilinear
from ssl_core._sizes import Size, per_axis

if TYPE_CHECKING:
    from jaxtyping import Float

_IN_CACHE = 1 << 19  # values of views that a CPU works on at a time


def make_crops(
    images: Sequence[Float[Tensor, "c *_"]],
    config: CropConfig,
    generator: torch.Generator,
    *,
    first: int = 0,
    total: int | None = None,
) -> tuple[Float[Tensor, "g c *_"], Float[Tensor, "l c *_"]]:
    """Two global and `local_count` local views of each image, crop-major and normalised.

    Where `images` are those from `first` on of a batch of `total`, shared by several processes, their views are the
    ones that they have in the whole batch, on a GPU up to rounding. An image smaller than a view is enlarged.
    """
    total = len(images) if total is None else total
    axes = images[0].ndim - 1
    resample = {"bicubic": bicubic, "bilinear": bilinear}[config.resampling]

    def room(count: int, size: Size) -> Tensor:
        shape = (count * len(images), images[0].shape[0], *per_axis(size, axes))
        return torch.empty(shape, device=images[0].device)

    crops, local = room(2, config.global_size), room(config.local_count, config.local_size)
    one, two = crops.chunk(2)
    groups = [
        (one, config.global_scale, config.blur[0], 0.0),
        (two, config.global_scale, config.blur[1], config.solarise),
        (local, config.local_scale, config.blur[2], 0.0),
    ]
    for out, scale, blur, solarise in groups if config.local_count else groups[:2]:
        count = len(out) // len(images)
        mine = (torch.arange(count)[:, None] * total + torch.arange(first, first + len(images))).flatten()
        draws = [values[mine] for values in _draw_places(count * total, scale, axes, config, generator)]
        looks = draw_looks(count * total, blur, solarise, config, generator)[mine]
        resample(images, _boxes(images, out.shape[2:], *draws), out)
        some = len(out) if out.is_cuda else max(1, _IN_CACHE // out[0].numel())
        for start in range(0, len(out), some):
            rows = slice(start, start + some)
            distort(out[rows], looks[rows], config)
            normalise(out[rows], config)
    return crops, local


def _draw_places(
    n: int, scale: tuple[float, float], axes: int, config: CropConfig, generator: torch.Generator
) -> list[Tensor]:
    """Random resized crops: share of the image, stretch of each axis, place and flip of each, and angle.

    The share is uniform in `scale`; aspects are 3/4 to 4/3, uniform in their logarithm (Szegedy et al. 2014). Places
    are from -1, the first that fits, to 1, the last.
    """
    share = uniform(n, *scale, generator)

    def aspect() -> Tensor:
        return torch.exp(uniform(n, math.log(3 / 4), math.log(4 / 3), generator))

    plane = aspect()
    stretch = [plane**-0.5, plane**0.5]
    x, y = uniform(n, -1, 1, generator), uniform(n, -1, 1, generator)
    place = [y, x]
    mirrored = uniform(n, 0, 1, generator) < config.flip
    flip = [torch.zeros_like(mirrored), mirrored]
    angle = uniform(n, -1, 1, generator) * math.radians(config.rotation)
    if axes == 3:
        depth = aspect()
        stretch = [depth ** (2 / 3), *(s * depth ** (-1 / 3) for s in stretch)]
        place = [uniform(n, -1, 1, generator), *place]
        flip = [uniform(n, 0, 1, generator) < config.flip, uniform(n, 0, 1, generator) < config.flip, mirrored]
    return [share, torch.stack(stretch, dim=1), torch.stack(place, dim=1), torch.stack(flip, dim=1), angle]


def _boxes(
    images: Sequence[Tensor],
    size: Sequence[int],
    share: Tensor,
    stretch: Tensor,
    place: Tensor,
    flip: Tensor,
    angle: Tensor,
) -> Boxes:
    """Boxes in pixels: as many pixels as the share says, of the view's proportions but for the stretch.

    So pixels stay square, and voxels keep their proportions, whatever these are. A side longer than the image's is cut
    to it, where torchvision would draw again.
    """
    shapes = torch.tensor([image.shape[1:] for image in images]).repeat(len(share) // len(images), 1)
    unit = (share * shapes.prod(dim=1) / math.prod(size)) ** (1 / len(size))
    sides = torch.minimum(unit[:, None] * torch.tensor(size) * stretch, shapes.float())
    return Boxes(sides, (shapes + place * (shapes - sides)) / 2, flip, angle)
