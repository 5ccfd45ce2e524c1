"""Fitting the linear head: cross-entropy plus soft Dice, AdamW, the best epoch by validation Dice."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from raddino_seg._decoder import LinearDecoder, Tokens, as_tokens, upsample
from raddino_seg._errors import SegError
from raddino_seg._metrics import dice

Masks = NDArray[np.integer]
Progress = Callable[[int, int], None]


def train(
    tokens: Tokens,
    masks: Masks,
    *,
    classes: Sequence[str],
    validation: tuple[Tokens, Masks] | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    weight_decay: float = 1e-4,
    seed: int = 0,
    progress: Progress | None = None,
) -> LinearDecoder:
    """Fit a linear head on tokens (N, D, h, w) to label maps (N, H, W) with values 0..len(classes).

    Value k of a mask is `classes[k - 1]`; 0 is background. With `validation`, the weights of the epoch with the best
    mean Dice are kept. The same seed gives the same weights on one machine.
    """
    tokens, masks = as_tokens(tokens), _as_masks(tokens, masks, classes)
    if epochs < 1 or batch_size < 1:
        raise SegError(f"expected at least one epoch and one image a batch, got {epochs} and {batch_size}")
    generator = torch.Generator().manual_seed(seed)
    decoder = LinearDecoder(tokens.shape[1], tuple(classes))
    with torch.no_grad():
        decoder.weight.copy_(torch.randn(decoder.weight.shape, generator=generator) * 0.01)
        decoder.mean.copy_(tokens.float().mean(dim=(0, 2, 3)))
        decoder.scale.copy_(1 / tokens.float().std(dim=(0, 2, 3)).clamp(min=1e-6))
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=learning_rate, weight_decay=weight_decay)
    batches = -(-len(tokens) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * batches)
    best, best_state = -1.0, None
    for epoch in range(epochs):
        for rows in torch.split(torch.randperm(len(tokens), generator=generator), batch_size):
            truth = torch.from_numpy(np.ascontiguousarray(masks[rows.numpy()])).long()
            logits = upsample(decoder(tokens[rows]), (masks.shape[1], masks.shape[2]))
            loss = cross_entropy(logits, truth) + soft_dice_loss(logits, truth)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        if validation is not None:
            score = _mean_dice(decoder, *validation)
            if score > best:
                best, best_state = score, copy.deepcopy(decoder.state_dict())
        if progress:
            progress(epoch + 1, epochs)
    if best_state is not None:
        decoder.load_state_dict(best_state)
    return decoder.eval()


def soft_dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the mean Dice of the foreground probabilities over a batch (Milletari et al. 2016, V-Net)."""
    chance = logits.softmax(1)[:, 1:]
    target = one_hot(truth, logits.shape[1]).movedim(-1, 1)[:, 1:].to(chance.dtype)
    both = (chance * target).sum(dim=(0, 2, 3))
    return 1 - ((2 * both + 1) / (chance.sum(dim=(0, 2, 3)) + target.sum(dim=(0, 2, 3)) + 1)).mean()


def _mean_dice(decoder: LinearDecoder, tokens: Tokens, masks: Masks) -> float:
    prediction = decoder.predict(tokens, (masks.shape[1], masks.shape[2]))
    each = [dice(prediction, masks, k + 1) for k in range(len(decoder.classes))]
    known = np.concatenate(each)
    return float(known[~np.isnan(known)].mean()) if (~np.isnan(known)).any() else 0.0


def _as_masks(tokens: Tokens, masks: Masks, classes: Sequence[str]) -> Masks:
    if not classes:
        raise SegError("expected the name of at least one class")
    if masks.ndim != 3 or not np.issubdtype(masks.dtype, np.integer):
        raise SegError(f"expected integer label maps (N, H, W), got {masks.dtype} of shape {masks.shape}")
    if len(tokens) != len(masks):
        raise SegError(f"expected as many masks as token maps, got {len(masks)} and {len(tokens)}")
    if len(masks) == 0:
        raise SegError("expected at least one image, got none")
    values = np.unique(masks)
    if values[0] < 0 or values[-1] > len(classes):
        raise SegError(
            f"expected mask values 0..{len(classes)} for {len(classes)} classes, got {values[0]}..{values[-1]}"
        )
    for k, name in enumerate(classes, 1):
        if k not in values:
            raise SegError(f"expected every class in some mask; {name!r} (value {k}) is in none")
    return masks
