"""Facts about training on images: any encoder with `encode`, frozen or not, with its tokens kept or made anew."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import raddino_seg
import torch
from raddino_seg import Augment, SegError, Training
from torch import Tensor, nn


class Plain:
    """An encoder that is no module: each patch's pixels. Counts the images it saw."""

    def __init__(self) -> None:
        self.seen = 0

    @torch.inference_mode()
    def encode(self, x: Tensor) -> SimpleNamespace:
        self.seen += len(x)
        return SimpleNamespace(patches=nn.functional.pixel_unshuffle(x, 4))


class Learner(nn.Module):
    """An encoder that may learn."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, width, 4, 4)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def encode(self, x: Tensor) -> SimpleNamespace:
        first = self.first(x)
        return SimpleNamespace(patches=torch.stack((first, self.second(first.relu())), 1))


def bright_squares(n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = np.zeros((n, 32, 32), np.uint8)
    for mask in masks:
        y, x = rng.integers(4, 16, 2)
        mask[y : y + 12, x : x + 10] = 1
    images = 0.3 * rng.normal(size=(n, 1, 32, 32)) + masks[:, None]
    return images.astype(np.float32), masks


def score(model: raddino_seg.Model) -> float:
    images, masks = bright_squares()
    return float(np.nanmean(raddino_seg.measure("dice", model.predict(images, (32, 32)), masks, ["square"])))


def fit(encoder, **options):  # type: ignore[no-untyped-def]
    images, masks = bright_squares()
    training = options.pop("training", Training(epochs=12, batch_size=6))
    return raddino_seg.train_on_images(encoder, images, masks, classes=["square"], training=training, **options)


def test_a_frozen_encoder_encodes_each_image_once_and_with_augmentation_in_every_epoch() -> None:
    kept, anew = Plain(), Plain()
    assert score(fit(kept)) > 0.7
    assert kept.seen == 24 + 24  # to train, to score
    fit(anew, augment=Augment(), training=Training(epochs=3, batch_size=6))
    assert anew.seen == 24 * (1 + 3)  # to standardise, to train


def test_the_kept_tokens_are_those_of_the_encoder() -> None:
    images, masks = bright_squares()
    whole = fit(Plain())
    alone = raddino_seg.train(
        raddino_seg.encode_once(Plain(), images), masks, classes=["square"], training=Training(epochs=12, batch_size=6)
    )
    assert np.array_equal(
        whole.predict(images, (32, 32)), alone.predict(raddino_seg.encode_once(Plain(), images), (32, 32))
    )


def test_tokens_are_kept_of_an_encoder_in_evaluation_mode_and_it_is_left_as_it_was() -> None:
    class Dropping(Learner):
        def encode(self, x: Tensor) -> SimpleNamespace:
            return SimpleNamespace(patches=nn.functional.dropout(self.first(x), 0.5, self.training))

    encoder = Dropping().train()
    images, _ = bright_squares()
    assert torch.equal(raddino_seg.encode_once(encoder, images), raddino_seg.encode_once(encoder, images))
    assert encoder.training


def test_an_unfrozen_encoder_learns_and_a_frozen_one_does_not() -> None:
    for unfreeze in (False, True):
        encoder = Learner()
        before = [p.clone() for p in encoder.parameters()]
        fit(encoder, unfreeze=unfreeze, training=Training(epochs=2, batch_size=6))
        changed = [not torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True)]
        assert changed == [unfreeze] * len(before)


def test_unfreezing_finds_more_than_a_frozen_random_encoder() -> None:
    training = Training(epochs=20, batch_size=6, learning_rate=0.03)
    assert score(fit(Learner(2), unfreeze=True, training=training)) > score(fit(Learner(2), training=training))


def test_only_a_module_whose_tokens_have_gradients_can_learn() -> None:
    with pytest.raises(SegError, match=r"a torch.nn.Module to train it, got Plain"):
        fit(Plain(), unfreeze=True)

    class Blind(Learner):
        @torch.no_grad()
        def encode(self, x: Tensor) -> SimpleNamespace:
            return super().encode(x)

    with pytest.raises(SegError, match="lets gradients flow"):
        fit(Blind(), unfreeze=True)


@pytest.mark.parametrize("unfreeze", [False, True])
def test_a_saved_model_predicts_the_same_with_an_encoder_beside_it(unfreeze: bool, tmp_path: Path) -> None:
    images, _ = bright_squares()
    model = fit(Learner(), unfreeze=unfreeze, training=Training(epochs=1))
    model.save(tmp_path / "model")
    fresh = Learner()
    if unfreeze:
        with pytest.raises(SegError, match="give load"):
            raddino_seg.load(tmp_path / "model")
        with pytest.raises(SegError, match="weights that fit"):
            raddino_seg.load(tmp_path / "model", Learner(3))
    again = raddino_seg.load(tmp_path / "model", fresh)
    assert np.array_equal(again.predict(images, (32, 32)), model.predict(images, (32, 32)))


def test_a_unet_learns_at_any_size_and_is_the_same_after_a_file(tmp_path: Path) -> None:
    images, masks = bright_squares(12)
    images, masks = images[..., :27], masks[..., :27]
    model = raddino_seg.train_unet(
        images, masks, classes=["square"], training=Training(epochs=10, batch_size=4, learning_rate=0.003)
    )
    found = model.predict(images, (32, 27))
    assert np.nanmean(raddino_seg.measure("dice", found, masks, ["square"])) > 0.8
    model.save(tmp_path / "unet")
    assert np.array_equal(raddino_seg.load(tmp_path / "unet").predict(images, (32, 27)), found)
    with pytest.raises(SegError, match="images of 1 channels, got 3"):
        model.predict(np.repeat(images, 3, 1), (32, 27))
    with pytest.raises(SegError, match="expected a timm encoder for a U-Net, got 'nothing'"):
        raddino_seg.train_unet(images, masks, classes=["square"], backbone="nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, m: (i.astype(np.float64), m), "float32 images"),
        (lambda i, m: (i[:, 0], m), r"\(N, channels, H, W\)"),
        (lambda i, m: (i[:5], m), "a mask for each of 5 images, got 24"),
    ],
)
def test_what_are_no_images_is_refused_before_any_is_encoded(change, message) -> None:  # type: ignore[no-untyped-def]
    encoder = Plain()
    with pytest.raises(SegError, match=message):
        raddino_seg.train_on_images(encoder, *change(*bright_squares()), classes=["square"])
    assert encoder.seen == 0


def test_augmentation_moves_images_and_masks_alike_and_mirrors_nothing() -> None:
    torch.manual_seed(0)
    blob = np.zeros((20, 48, 40), np.float32)
    blob[:, 16:34, 10:20] = 1
    images, labels = torch.from_numpy(blob[:, None]), torch.from_numpy(blob).long()
    for truth in (labels, labels[:, None].bool()):
        moved, turned = Augment(degrees=20, zoom=0.2, shift=0.1)(images, truth)
        assert turned.dtype == truth.dtype
        assert turned.shape == truth.shape
        seen, drawn = moved[:, 0] > 0.5, turned.reshape(20, 48, 40) > 0
        assert ((seen & drawn).sum((1, 2)) * 2 / (seen.sum((1, 2)) + drawn.sum((1, 2)))).min() > 0.95
        assert (drawn != (labels > 0)).any((1, 2)).all()
    still, same = Augment(degrees=0, zoom=0, shift=0)(images, labels)
    assert torch.allclose(still, images, atol=1e-5)
    assert torch.equal(same, labels)
    with pytest.raises(SegError, match="a zoom from 0 to 1"):
        Augment(zoom=1.5)


def test_a_turn_keeps_the_shape_of_what_is_in_an_oblong_image() -> None:
    torch.manual_seed(1)
    disc = torch.zeros(30, 1, 80, 40)
    y, x = torch.meshgrid(torch.arange(80), torch.arange(40), indexing="ij")
    disc[:, 0, (y - 40) ** 2 + (x - 20) ** 2 < 144] = 1
    moved, _ = Augment(degrees=90, zoom=0, shift=0)(disc, disc[:, 0].long())
    assert (moved - disc).abs().mean() < 0.01
