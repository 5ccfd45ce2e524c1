"""Views of images: random crops and distortions of single-channel batches, on the device of the images.

A crop is one affine map sampled once (scale, aspect, place, flip and rotation together), so pixels are interpolated
a single time. Intensities are in [0, 1] and keep whatever depth came in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core._config import CropConfig
from ssl_core._errors import SslError

if TYPE_CHECKING:
    from jaxtyping import Float


def to_unit(image: Tensor) -> Float[Tensor, "c h w"]:
    """Integers to float32 in [0, 1] by their type's range; floats as they are."""
    if image.is_floating_point():
        return image.float()
    return image.float() / torch.iinfo(image.dtype).max


def normalise(x: Tensor, config: CropConfig) -> Tensor:
    """Subtract the mean and divide by the standard deviation of the configuration."""
    return (x - config.mean) / config.std


def make_crops(
    images: Sequence[Float[Tensor, "c _ _"]],
    config: CropConfig,
    generator: torch.Generator,
    *,
    first: int = 0,
    total: int | None = None,
) -> tuple[Float[Tensor, "g c H W"], Float[Tensor, "l c S T"]]:
    """Two global and `local_count` local views of each image, crop-major and normalised.

    Where `images` are those from `first` on of a batch of `total`, shared by several processes, their views are the
    ones that they have in the whole batch.
    """
    total = len(images) if total is None else total
    views: list[Tensor] = []
    groups = [(config.global_size, config.global_scale, config.blur[i], 1) for i in (0, 1)]
    groups += [(config.local_size, config.local_scale, config.blur[2], config.local_count)]
    for size, scale, blur, count in groups:
        if not count:
            views.append(torch.empty(0, images[0].shape[0], size, size))
            continue
        mine = (torch.arange(count)[:, None] * total + torch.arange(first, first + len(images))).flatten()
        place = _draw_places(count * total, scale, config, generator)[mine]
        look = [values[mine] for values in _draw_looks(count * total, blur, config, generator)]
        crops = _crop(list(images) * count, place, size)
        views.append(normalise(_distort(crops, *look), config))
    return torch.cat(views[:2]), views[2]


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(n).uniform_(low, high, generator=generator)


def _draw_places(
    n: int, scale: tuple[float, float], config: CropConfig, generator: torch.Generator
) -> Float[Tensor, "n 2 3"]:
    """Affine maps of random resized crops: area in `scale`, aspect 3/4 to 4/3 (Szegedy et al. 2014), anywhere."""
    area = _uniform(n, *scale, generator)
    aspect = torch.exp(_uniform(n, math.log(3 / 4), math.log(4 / 3), generator))
    height = torch.sqrt(area / aspect).clamp(max=1.0)
    width = torch.sqrt(area * aspect).clamp(max=1.0)
    x = _uniform(n, -1, 1, generator) * (1 - width)
    y = _uniform(n, -1, 1, generator) * (1 - height)
    flip = 1 - 2 * (_uniform(n, 0, 1, generator) < config.flip).float()
    angle = _uniform(n, -1, 1, generator) * math.radians(config.rotation)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack(
        (
            torch.stack((width * cos * flip, -height * sin, x), dim=1),
            torch.stack((width * sin * flip, height * cos, y), dim=1),
        ),
        dim=1,
    )


def _draw_looks(n: int, blur: float, config: CropConfig, generator: torch.Generator) -> list[Tensor]:
    """Brightness, contrast, gamma and the sigma of a blur, 0 where there is none; each (n,)."""
    brightness = _uniform(n, 1 - config.brightness, 1 + config.brightness, generator)
    contrast = _uniform(n, 1 - config.contrast, 1 + config.contrast, generator)
    gamma = torch.exp(_uniform(n, -1, 1, generator) * config.gamma)
    blurred = _uniform(n, 0, 1, generator) < blur
    sigma = _uniform(n, 0.1, 2.0, generator)
    return [brightness, contrast, gamma, torch.where(blurred, sigma, 0.0)]


def _crop(images: list[Tensor], theta: Float[Tensor, "n 2 3"], size: int) -> Tensor:
    if len({image.shape for image in images}) == 1:
        return _sample(torch.stack(images), theta, size)
    return torch.cat([_sample(i[None], t[None], size) for i, t in zip(images, theta, strict=True)])


def _sample(images: Tensor, theta: Tensor, size: int) -> Tensor:
    grid = F.affine_grid(theta.to(images.device), [len(images), images.shape[1], size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _distort(x: Tensor, brightness: Tensor, contrast: Tensor, gamma: Tensor, sigma: Tensor) -> Tensor:
    """Brightness, contrast about the crop's own mean, gamma, Gaussian blur; clamped to [0, 1]."""
    brightness, contrast, gamma = (v.to(x.device).view(-1, 1, 1, 1) for v in (brightness, contrast, gamma))
    x = x * brightness
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = ((x - mean) * contrast + mean).clamp(0, 1)
    if (gamma != 1).any():
        x = x.clamp_min(1e-6) ** gamma
    chosen = sigma.nonzero().squeeze(1)
    if len(chosen):
        x[chosen] = _blur(x[chosen], sigma[chosen].to(x.device))
    return x


def _blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Separable 9-tap Gaussian, one sigma per image, as grouped convolutions."""
    n, c, h, w = x.shape
    taps = torch.arange(-4, 5, device=x.device)
    kernel = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(c, dim=0)
    if min(h, w) <= 4:
        raise SslError(f"blur needs crops of more than 4 pixels, got {h} x {w}")
    flat = F.pad(x.reshape(1, n * c, h, w), (4, 4, 4, 4), mode="reflect")
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=n * c)
    return F.conv2d(flat, kernel[:, None, :, None], groups=n * c).reshape(n, c, h, w)
