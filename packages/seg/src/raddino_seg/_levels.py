"""Maps at four scales out of the one grid of a plain vision transformer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate

from raddino_seg._projection import Projection


class Levels(nn.Module):
    """Tokens (B, L, D, h, w) to maps (B, C, ., .) at 4, 2, 1 and 1/2 times the grid, the finest first.

    With one layer this is the simple feature pyramid of ViTDet (Li et al. 2022, arXiv 2203.16527, section 3), except
    that tokens are projected before and not after they are rescaled. Of several layers the early ones make the fine
    maps and the last one the coarsest (the "reassemble" of DPT, Ranftl et al. 2021).
    """

    def __init__(self, layers: int, embed_dim: int, channels: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            Projection([round(k * (layers - 1) / 3)], embed_dim, channels, embed_dim**-0.5) for k in range(4)
        )
        self.rescale = nn.ModuleList(
            [
                nn.Sequential(double(channels), norm(channels), nn.GELU(), double(channels)),
                double(channels),
                nn.Identity(),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
        )

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """The four maps."""
        return [rescale(project(tokens)) for project, rescale in zip(self.projections, self.rescale, strict=True)]


def norm(channels: int) -> nn.Module:
    """Of groups, for a batch may be one image."""
    return nn.GroupNorm(8, channels)


def block(inside: int, out: int, size: int = 3) -> nn.Sequential:
    """Convolution, norm, ReLU."""
    return nn.Sequential(nn.Conv2d(inside, out, size, padding=size // 2, bias=False), norm(out), nn.ReLU())


def double(channels: int) -> nn.Module:
    """Twice the height and width."""
    return nn.ConvTranspose2d(channels, channels, 2, 2)


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, pixel areas aligned."""
    return interpolate(maps, size=size, mode="bilinear", align_corners=False)


def upsample_like(maps: Tensor, other: Tensor) -> Tensor:
    """To the height and width of another map."""
    return upsample(maps, (other.shape[2], other.shape[3]))
