"""Facts about the losses: least for the truth, defined by published formulas, fair to thin structures if asked."""

import monai.losses
import numpy as np
import pytest
import raddino_seg
import torch
from raddino_seg import SegError, Training
from raddino_seg._losses import class_weights, make_loss, skeleton
from torch import Tensor
from torch.nn.functional import one_hot


def truth(overlap: bool) -> Tensor:
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (4, 16, 16))
    return one_hot(labels, 3).movedim(-1, 1)[:, 1:].bool() if overlap else labels


def perfect(target: Tensor, overlap: bool) -> Tensor:
    planes = target if overlap else one_hot(target, 3).movedim(-1, 1)
    return 20.0 * planes.float() - 10


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("name", raddino_seg.LOSSES)
def test_the_truth_costs_least_and_gradients_lead_there(name: str, overlap: bool) -> None:
    if name == "ce" and overlap:
        with pytest.raises(SegError, match="bce or focal in place of ce"):
            make_loss(name, overlap=True)
        return
    loss, target = make_loss(name, overlap=overlap), truth(overlap)
    logits = torch.zeros_like(perfect(target, overlap), requires_grad=True)
    before = loss(logits, target)
    assert loss(perfect(target, overlap), target) < 0.01 < before
    (gradient,) = torch.autograd.grad(before, logits)
    assert loss(logits - 5 * gradient / gradient.abs().max(), target) < before


def test_a_sum_of_losses_is_the_sum() -> None:
    target = truth(True)
    logits = torch.randn(target.shape)
    parts = sum(make_loss(name, overlap=True)(logits, target) for name in ("bce", "dice", "cldice"))
    assert torch.isclose(make_loss("bce+dice+cldice", overlap=True)(logits, target), torch.as_tensor(parts))


def test_region_losses_are_monais() -> None:
    target = truth(True)
    logits = torch.randn(target.shape)
    options = {"sigmoid": True, "batch": True, "smooth_nr": 1.0, "smooth_dr": 1.0}
    dice = monai.losses.DiceLoss(**options)(logits, target)
    assert torch.isclose(make_loss("dice", overlap=True)(logits, target), dice)
    tversky = monai.losses.TverskyLoss(alpha=0.3, beta=0.7, **options)(logits, target.float())
    assert torch.isclose(make_loss("tversky", overlap=True)(logits, target), tversky)
    focal = monai.losses.FocalLoss(gamma=2.0)(logits, target.float())
    assert torch.isclose(make_loss("focal", overlap=True)(logits, target), focal)


def test_a_centre_line_is_thin_and_keeps_the_length() -> None:
    bar = torch.zeros(1, 1, 20, 60)
    bar[..., 6:13, 5:55] = 1
    line = skeleton(bar)
    assert (line > 0.5).sum((2, 3)).item() < 70
    assert line[..., 9, 10:50].min() > 0.5


def test_weights_grow_with_rarity_within_bounds() -> None:
    masks = np.zeros((2, 100, 100), np.uint8)
    masks[:, :50] = 1
    masks[0, 60, 0] = 2
    weights = class_weights(masks, 2)
    assert weights[0] == 1
    assert weights[1] == pytest.approx(1)
    assert weights[2] == 30
    planes = np.stack([masks == 1, masks == 2], 1)
    assert torch.allclose(class_weights(planes, 2), weights[1:])


def test_balance_finds_more_of_a_thin_structure() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((40, 1, 32, 32), bool)
    for mask in masks:
        mask[0, :, rng.integers(2, 30)] = True
    cells = masks[:, 0].reshape(40, 8, 4, 8, 4).transpose(0, 2, 4, 1, 3).reshape(40, 16, 8, 8).any(1)
    tokens = rng.normal(size=(40, 6, 8, 8)).astype(np.float32)
    tokens[:, 0] += 3 * cells
    found = {}
    for balance in (False, True):
        training = Training(epochs=60, batch_size=8, loss="bce", balance=balance)
        model = raddino_seg.train(tokens[:30], masks[:30], classes=["tube"], training=training)
        predicted = model.predict(tokens[30:], (32, 32))
        found[balance] = np.nanmean(raddino_seg.measure("sensitivity", predicted, masks[30:], ["tube"]))
    assert found[True] > found[False] + 0.5
