"""A patch embedding that starts from the data: the principal components of patches, at nearly equal variance.

Neighbouring pixels of a radiograph are alike, so a few smooth components hold nearly all the variance of a patch. A
random embedding passes this on, and texture, thousands of times fainter, is found last. Whitening the first layer is
what makes shallow and briefly trained networks see it (Coates, Ng and Lee 2011, section 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ssl_core._vit import PatchEmbed

if TYPE_CHECKING:
    from jaxtyping import Float


@torch.no_grad()
def whiten_patch_embed(
    embed: PatchEmbed, images: Float[Tensor, "b c *axes"], floor: float, generator: torch.Generator
) -> None:
    """Set weight and bias so that the embedded patches of `images` have mean 0 and a covariance near the identity.

    Component i of variance v_i is divided by sqrt(v_i + floor * mean(v)): those far below the floor, noise, stay
    small. The components are turned by a random rotation, so that every output channel holds some of each; if there
    are fewer outputs than components, the strongest are kept, if more, they come again.

    Args:
        embed: changed in place.
        images: normalised as in training; some hundred patches for each pixel of a patch, or more.
        floor: relative to the mean variance of a component; about 0.3.
        generator: draws the rotation.
    """
    weight = embed.proj.weight
    outputs, size = weight.shape[0], weight[0].numel()
    patches = embed.cut(images).flatten(0, 1).double()
    mean = patches.mean(dim=0)
    variances, components = torch.linalg.eigh(torch.cov(patches.T))
    variances, components = variances.clamp_min(0).flip(0), components.flip(1)
    scaled = components / (variances + floor * variances.mean() + 1e-12).sqrt()
    rows = scaled.T[torch.arange(outputs) % min(outputs, size)]
    rotation, _ = torch.linalg.qr(torch.randn(outputs, outputs, generator=generator, dtype=torch.float64))
    matrix = rotation @ rows
    weight.copy_(matrix.reshape(weight.shape))
    embed.proj.bias.copy_(-matrix @ mean)  # type: ignore[union-attr]
