"""Facts about a fit that is stopped: it goes on from its checkpoint, to the weights of one that never stopped."""

from pathlib import Path

import numpy as np
import pytest
import raddino_seg
import torch
from raddino_seg import Augment, SegError, Training
from torch import Tensor, nn


class Conv(nn.Module):
    """An encoder of one convolution, with dropout, whose random numbers a resumed fit must repeat."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(1, 6, 4, 4)

    def encode(self, x: Tensor) -> "Conv.Tokens":
        return Conv.Tokens(nn.functional.dropout(self.conv(x), 0.2, self.training))

    class Tokens:
        def __init__(self, patches: Tensor) -> None:
            self.patches = patches


def data(n: int = 10) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(n, 1, 32, 32)).astype(np.float32)
    masks = np.zeros((n, 32, 32), np.uint8)
    masks[:, 8:20, 4:12] = 1
    images[:, 0][masks == 1] += 2
    return images, masks


class StoppedError(Exception):
    """The power went."""


def stop_after(epoch: int):  # type: ignore[no-untyped-def]
    def tell(done: int, _total: int) -> None:
        if done == epoch:
            raise StoppedError

    return tell


def on_tokens(training: Training, **options):  # type: ignore[no-untyped-def]
    images, masks = data()
    tokens = images.reshape(10, 1, 8, 4, 8, 4).transpose(0, 3, 5, 1, 2, 4).reshape(10, 16, 8, 8)
    return raddino_seg.train(
        tokens, masks, classes=["a"], decoder="upernet", channels=8, training=training,
        validation=(tokens[:4], masks[:4]), **options,
    )  # fmt: skip


def on_images(training: Training, **options):  # type: ignore[no-untyped-def]
    images, masks = data()
    return raddino_seg.train_on_images(
        Conv(), images, masks, classes=["a"], unfreeze=True, augment=Augment(), training=training, **options
    )


def as_unet(training: Training, **options):  # type: ignore[no-untyped-def]
    images, masks = data()
    return raddino_seg.train_unet(images, masks, classes=["a"], training=training, **options)


@pytest.mark.parametrize("kind", [on_tokens, on_images, as_unet])
def test_resume_equals_never_stopping(kind, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    training = Training(epochs=4, batch_size=4)
    whole = kind(training).state_dict()
    for epoch in (1, 3):
        with pytest.raises(StoppedError):
            kind(training, checkpoint=tmp_path / "fit", progress=stop_after(epoch))
    resumed = kind(training, checkpoint=tmp_path / "fit").state_dict()
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_finished_fit_is_not_done_again(tmp_path: Path) -> None:
    training = Training(epochs=2)
    first = on_tokens(training, checkpoint=tmp_path / "fit").state_dict()
    again = on_tokens(training, checkpoint=tmp_path / "fit", progress=stop_after(1)).state_dict()
    assert all(torch.equal(again[name], first[name]) for name in first)
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]


def test_a_checkpoint_of_other_settings_or_of_something_else_is_refused(tmp_path: Path) -> None:
    on_tokens(Training(epochs=1), checkpoint=tmp_path / "fit")
    with pytest.raises(SegError, match=r"was begun with training .*'epochs': 1.* and now training is .*'epochs': 2"):
        on_tokens(Training(epochs=2), checkpoint=tmp_path / "fit")
    with pytest.raises(SegError, match="was begun with"):
        as_unet(Training(epochs=1), checkpoint=tmp_path / "fit")
    (tmp_path / "other").write_bytes(b"not safetensors")
    with pytest.raises(SegError, match="written by raddino-seg"):
        on_tokens(Training(epochs=1), checkpoint=tmp_path / "other")


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SegError, match="could not write"):
        on_tokens(Training(epochs=1), checkpoint=tmp_path / "none" / "fit")
