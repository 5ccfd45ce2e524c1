"""Segmentation from one annotated image and no training: each token takes the label of the tokens it is most like."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from raddino_seg._errors import SegError
from raddino_seg._levels import upsample
from raddino_seg._masks import Masks, check_masks, overlapping, plane
from raddino_seg._tokens import Tokens, as_tokens


def propagate(
    example: Tokens,
    mask: Masks,
    tokens: Tokens,
    *,
    classes: tuple[str, ...],
    size: tuple[int, int],
    neighbours: int = 5,
) -> Masks:
    """Masks of images by the nearest tokens, by cosine, of one annotated image or of a few.

    Tokens are standardised by the images to be segmented, which takes no label. Each takes the mean of what the
    classes cover of the patches of its nearest `neighbours`; that is enlarged bilinearly, and the commonest wins.

    Args:
        example: tokens (M, D, h, w), or (M, L, D, h, w), of annotated images.
        mask: their label maps (M, H, W) or planes (M, C, H, W).
        tokens: (N, D, h, w), or (N, L, D, h, w), to be segmented.
        classes: names.
        size: of the masks to be made.
        neighbours: how many tokens vote.

    Returns:
        Label maps (N, *size), or planes (N, C, *size), as `mask` is.

    Raises:
        SegError: masks that don't fit, tokens of another width, fewer tokens than neighbours.
    """
    known, new = as_tokens(example), as_tokens(tokens)
    check_masks(mask, classes)
    if known.shape[1:] != new.shape[1:] or len(known) != len(mask):
        raise SegError(
            f"expected a mask for each example, and tokens (M, {', '.join(map(str, new.shape[1:]))}) of the images; "
            f"got {len(mask)} masks and tokens {tuple(known.shape)}"
        )
    height, width = new.shape[3:]
    if not 1 <= neighbours <= len(known) * height * width:
        raise SegError(f"expected 1 to {len(known) * height * width} neighbours, got {neighbours}")
    planes = torch.stack([torch.from_numpy(plane(mask, k)).float() for k in range(len(classes))], 1)
    cover = adaptive_avg_pool2d(planes, (height, width)).movedim(1, -1).flatten(0, 2)
    mean = new.float().mean((0, 3, 4))[:, :, None, None]
    scale = 1 / new.float().std((0, 3, 4)).clamp(min=1e-6)[:, :, None, None]
    bank = _directions((known.float() - mean) * scale)
    found = []
    for one in new:
        nearest = (_directions((one[None].float() - mean) * scale) @ bank.T).topk(neighbours).indices
        votes = cover[nearest].mean(1).reshape(height, width, -1).permute(2, 0, 1)
        found.append(_decide(upsample(votes[None], size), overlapping(mask)))
    return torch.cat(found).numpy()


def _directions(tokens: Tensor) -> Tensor:
    """Tokens (M, L, D, h, w) as unit vectors (M * h * w, L * D)."""
    return normalize(tokens.flatten(1, 2).movedim(1, -1).flatten(0, 2), dim=1)


def _decide(cover: Tensor, overlap: bool) -> Tensor:
    if overlap:
        return cover > 0.5
    background = 1 - cover.sum(1, keepdim=True)
    return torch.cat((background, cover), 1).argmax(1).to(torch.uint8)
