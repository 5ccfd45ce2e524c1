"""Gram anchoring: patches of long runs keep the likenesses that an earlier teacher saw among them.

In long runs the patch tokens of an image grow alike while its class token still improves. The loss holds their Gram
matrix, not the tokens themselves, to that of a frozen earlier teacher (Siméoni et al. 2025, "DINOv3", section 4.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F

from ssl_core._losses import full_precision, in_full

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def gram_loss(student: Float[Tensor, "b n d"], anchor: Float[Tensor, "b n d"]) -> Float[Tensor, ""]:
    """Mean squared difference of the cosine similarities of an image's patches, over all pairs of them and all images.

    dinov3 states the sum over pairs and computes the mean; so do we. In float32 whatever the autocast.
    """
    unit = [F.normalize(full_precision(x), dim=-1) for x in (student, anchor)]
    with in_full(student):
        ours, theirs = (x @ x.transpose(1, 2) for x in unit)
        return F.mse_loss(ours, theirs)
