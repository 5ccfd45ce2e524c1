"""Losses by name, and their sums: "ce+dice", "bce+tversky+cldice"."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, max_pool2d, one_hot

from raddino_seg._errors import SegError
from raddino_seg._masks import Masks, overlapping, plane

Loss = Callable[[Tensor, Tensor], Tensor]
_MOST = 30.0  # the heaviest a class may weigh against the background


def make_loss(name: str, *, overlap: bool, weights: Tensor | None = None) -> Loss:
    """The sum of the losses that a name such as "ce+dice" lists, for logits (B, K, H, W) and their truth.

    Truth is a label map (B, H, W) of long, or planes (B, K, H, W) where structures overlap. "ce" (softmax), "bce"
    (sigmoid) and "focal" (Lin et al. 2017, gamma 2) count pixels, each class times its weight (K,); "dice" (Milletari
    et al. 2016), "tversky" (Salehi et al. 2017, a missed pixel counting 0.7 and a false one 0.3) and "cldice" (Shit et
    al. 2021, overlap of centre lines, for tubes and the like) count regions, so that small classes count like large
    ones.

    Raises:
        SegError: an unknown name, "ce" for structures that overlap.
    """
    parts = name.split("+")
    for part in parts:
        if part not in LOSSES:
            raise SegError(f"expected losses of {', '.join(LOSSES)}, joined by +; got {name!r}")
        if part == "ce" and overlap:
            raise SegError(f"expected bce or focal in place of ce for structures that overlap, got {name!r}")

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        return cast(Tensor, sum(LOSSES[part](logits, truth, overlap, weights) for part in parts))

    return loss


def class_weights(masks: Masks, classes: int) -> Tensor:
    """Weight (K,) of each logit: the square root of how much rarer the class is than what is not it, 1 to 30.

    Background weighs 1. The root, because full balance floods the image with false pixels of a structure that is a
    few pixels wide.
    """
    shares = torch.tensor([float(plane(masks, k).mean()) for k in range(classes)]).clamp(min=1e-9)
    weights = ((1 - shares) / shares).sqrt().clamp(1, _MOST)
    return weights if overlapping(masks) else torch.cat((torch.ones(1), weights))


def _ce(logits: Tensor, truth: Tensor, _overlap: bool, weights: Tensor | None) -> Tensor:
    return cross_entropy(logits, truth, weight=weights)


def _bce(logits: Tensor, truth: Tensor, overlap: bool, weights: Tensor | None) -> Tensor:
    weight = None if weights is None else weights[:, None, None]
    return binary_cross_entropy_with_logits(logits, _planes(truth, logits, overlap), pos_weight=weight)


def _focal(logits: Tensor, truth: Tensor, overlap: bool, weights: Tensor | None) -> Tensor:
    target = _planes(truth, logits, overlap)
    weight = None if weights is None else weights[:, None, None]
    cost = binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
    wrong = (logits.sigmoid() - target).abs()
    return (wrong.square() * cost).mean()


def _dice(logits: Tensor, truth: Tensor, overlap: bool, _weights: Tensor | None) -> Tensor:
    chance, target = _foreground(logits, truth, overlap)
    both = (chance * target).sum((0, 2, 3))
    return 1 - ((2 * both + 1) / (chance.sum((0, 2, 3)) + target.sum((0, 2, 3)) + 1)).mean()


def _tversky(logits: Tensor, truth: Tensor, overlap: bool, _weights: Tensor | None) -> Tensor:
    chance, target = _foreground(logits, truth, overlap)
    both = (chance * target).sum((0, 2, 3))
    missed, false = target.sum((0, 2, 3)) - both, chance.sum((0, 2, 3)) - both
    return 1 - ((both + 1) / (both + 0.7 * missed + 0.3 * false + 1)).mean()


def _cldice(logits: Tensor, truth: Tensor, overlap: bool, _weights: Tensor | None) -> Tensor:
    chance, target = _foreground(logits, truth, overlap)
    found, true = skeleton(chance), skeleton(target)
    precise = ((found * target).sum((0, 2, 3)) + 1) / (found.sum((0, 2, 3)) + 1)
    whole = ((true * chance).sum((0, 2, 3)) + 1) / (true.sum((0, 2, 3)) + 1)
    return 1 - (2 * precise * whole / (precise + whole)).mean()


def skeleton(planes: Tensor, width: int = 5) -> Tensor:
    """Soft centre lines (B, C, H, W) of structures up to 2 * `width` pixels wide, by minima and maxima of 3 x 3."""
    found = (planes - _open(planes)).relu()
    for _ in range(width):
        planes = -max_pool2d(-planes, 3, 1, 1)
        found = found + ((planes - _open(planes)).relu() * (1 - found)).relu()
    return found


def _open(planes: Tensor) -> Tensor:
    return max_pool2d(-max_pool2d(-planes, 3, 1, 1), 3, 1, 1)


def _planes(truth: Tensor, logits: Tensor, overlap: bool) -> Tensor:
    """Truth as planes (B, K, H, W), background included where there is one."""
    planes = truth if overlap else one_hot(truth, logits.shape[1]).movedim(-1, 1)
    return planes.to(logits.dtype)


def _foreground(logits: Tensor, truth: Tensor, overlap: bool) -> tuple[Tensor, Tensor]:
    """Chances and truth of the classes without background."""
    planes = _planes(truth, logits, overlap)
    return (logits.sigmoid(), planes) if overlap else (logits.softmax(1)[:, 1:], planes[:, 1:])


LOSSES: dict[str, Callable[[Tensor, Tensor, bool, Tensor | None], Tensor]] = {
    "ce": _ce,
    "bce": _bce,
    "focal": _focal,
    "dice": _dice,
    "tversky": _tversky,
    "cldice": _cldice,
}
