"""Intensities of views: brightness and contrast, gamma, blur, solarisation, in this order (Grill et al. 2020, BYOL).

Views are (n, c, ...) in [0, 1] and keep whatever depth came in. What colour jitter does to hue and saturation is
nothing on grey images, and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssl_core._config import CropConfig
from ssl_core._errors import SslError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_TAPS = 4  # on either side of the middle one
_SOLARISE = 128 / 255  # grey 128 of 8 bits


@dataclass(frozen=True)
class Looks:
    """What is done to each of n views; 1 in the first three and 0 in `sigma` leave it as it is."""

    brightness: Float[Tensor, "n"]
    contrast: Float[Tensor, "n"]
    gamma: Float[Tensor, "n"]
    sigma: Float[Tensor, "n"]
    """Of the blur, in pixels of the view."""
    contrast_first: Bool[Tensor, "n"]
    solarised: Bool[Tensor, "n"]

    def __getitem__(self, rows: Tensor | slice) -> Looks:
        """Those of some views."""
        return Looks(**{name: values[rows] for name, values in vars(self).items()})


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Numbers (n,), on the CPU as the generator is."""
    return torch.empty(n).uniform_(low, high, generator=generator)


def draw_looks(n: int, blur: float, solarise: float, config: CropConfig, generator: torch.Generator) -> Looks:
    """Looks of n views. What can never or always happens is not drawn."""
    brightness = uniform(n, 1 - config.brightness, 1 + config.brightness, generator)
    contrast = uniform(n, 1 - config.contrast, 1 + config.contrast, generator)
    gamma = torch.exp(uniform(n, -1, 1, generator) * config.gamma)
    blurred = uniform(n, 0, 1, generator) < blur
    sigma = torch.where(blurred, uniform(n, 0.1, 2.0, generator), 0.0)

    def chance(probability: float) -> Tensor:
        if probability in (0, 1):
            return torch.full((n,), probability == 1)
        return uniform(n, 0, 1, generator) < probability

    jittered = chance(config.jitter)
    brightness, contrast, gamma = (torch.where(jittered, v, 1.0) for v in (brightness, contrast, gamma))
    first = chance(0.5 if config.jitter_order == "random" else 0.0)
    return Looks(brightness, contrast, gamma, sigma, first, chance(solarise))


def distort(x: Tensor, looks: Looks, config: CropConfig) -> None:
    """Give views their looks, in place; they stay in [0, 1]."""
    column = (-1, *[1] * (x.ndim - 1))

    def sent(values: Tensor) -> Tensor:
        return values.to(x.device, non_blocking=True)

    brightness, contrast, gamma = (sent(v).view(column) for v in (looks.brightness, looks.contrast, looks.gamma))
    if config.jitter_order == "joint":
        _scale(x, brightness, contrast).clamp_(0, 1)
    else:
        one, first = torch.ones_like(brightness), sent(looks.contrast_first).view(column)
        for now in (first, ~first):
            _scale(x, torch.where(now, one, brightness), torch.where(now, contrast, one)).clamp_(0, 1)
    if config.gamma:
        x.clamp_min_(1e-6).pow_(gamma)
    blurred, solarised = (v.nonzero().squeeze(1) for v in (looks.sigma, looks.solarised))
    if len(blurred):
        where = sent(blurred)
        x[where] = blur(x[where], sent(looks.sigma[blurred]))
    if len(solarised):
        where = sent(solarised)
        some = x[where]
        x[where] = torch.where(some >= _SOLARISE, 1 - some, some)


def _scale(x: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Brightness, then contrast about the view's mean, as one affine map of each view; in place."""
    mean = x.flatten(1).mean(dim=1).view(brightness.shape)
    return x.mul_(brightness * contrast).add_(mean * brightness * (1 - contrast))


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian of 9 taps along each axis, one sigma per view; edges are mirrored.

    Written as a sum of shifted views: on CPU ten times as fast as a convolution of one channel.
    """
    taps = torch.arange(-_TAPS, _TAPS + 1, device=x.device)
    kernel = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).view(len(x), -1, *[1] * (x.ndim - 1))
    for axis in range(2, x.ndim):
        n = x.shape[axis]
        if n <= _TAPS:
            raise SslError(f"blur needs views of more than {_TAPS} pixels, got {tuple(x.shape[2:])}")
        before, after = x.narrow(axis, 1, _TAPS).flip(axis), x.narrow(axis, n - 1 - _TAPS, _TAPS).flip(axis)
        padded = torch.cat((before, x, after), dim=axis)
        x = padded.narrow(axis, 0, n) * kernel[:, 0]
        for i in range(1, len(taps)):
            x.addcmul_(padded.narrow(axis, i, n), kernel[:, i])
    return x


def normalise(x: Tensor, config: CropConfig) -> Tensor:
    """Subtract the mean and divide by the standard deviation of the configuration, in place."""
    return x.sub_(config.mean).div_(config.std)
