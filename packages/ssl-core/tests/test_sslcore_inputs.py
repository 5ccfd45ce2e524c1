"""Images that can't be trained on are named by their index; those that merely look odd are trained on."""

import re
from pathlib import Path

import pytest
import ssl_core
import torch
from test_sslcore_train import config

GOOD = torch.rand(1, 64, 64)


class Folder:
    """Good images but for one."""

    def __init__(self, odd: torch.Tensor) -> None:
        self.odd = odd

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.odd if index == 3 else GOOD


NAN = GOOD.clone()
NAN[0, 5, 5] = float("nan")


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (torch.rand(64, 64), "expected (C=1, H, W), got (64, 64)"),
        (torch.rand(3, 64, 64), "expected (C=1, H, W), got (3, 64, 64)"),
        (torch.rand(1, 8, 64, 64), "expected (C=1, H, W), got (1, 8, 64, 64)"),
        (torch.rand(1, 0, 64), "expected (C=1, H, W), got (1, 0, 64)"),
        (NAN, "expected values from 0 to 1, got nan to nan"),
        (GOOD * 255, "expected values from 0 to 1, got"),
        (GOOD / 0, "expected values from 0 to 1, got"),
        (torch.full((1, 64, 64), -1000, dtype=torch.int16), "expected values from 0 to 32767, got -1000 to -1000"),
        (torch.zeros(1, 64, 64, dtype=torch.bool), "expected integers or floats, got torch.bool"),
        (torch.zeros(1, 64, 64, dtype=torch.complex64), "expected integers or floats, got torch.complex64"),
    ],
)
def test_an_image_that_cannot_be_trained_on_is_named(odd: torch.Tensor, message: str, tmp_path: Path) -> None:
    with pytest.raises(ssl_core.SslError, match=re.escape(f"image 3: {message}")):
        ssl_core.Trainer(config(), Folder(odd), tmp_path, device="cpu").fit()


@pytest.mark.parametrize(
    "odd",
    [
        torch.full((1, 64, 64), 0.5),
        torch.zeros(1, 64, 64),
        torch.rand(1, 9, 700),
        torch.rand(1, 1, 1),
        torch.randint(0, 255, (1, 64, 64), dtype=torch.uint8),
        torch.randint(0, 4095, (1, 64, 64), dtype=torch.int16),
        torch.rand(1, 64, 64, dtype=torch.float64),
        torch.rand(1, 64, 64).half(),
    ],
    ids=["constant", "black", "long", "one pixel", "8 bit", "signed", "double", "half"],
)
@pytest.mark.parametrize("preset", [[], ["crops.preset=dinov2"]], ids=["cpu-tiny", "dinov2"])
def test_odd_images_are_trained_on(odd: torch.Tensor, preset: list[str], tmp_path: Path) -> None:
    trainer = ssl_core.Trainer(config(*preset), Folder(odd), tmp_path, device="cpu")
    trainer.train_step()
    trainer.train_step()
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


def test_a_data_set_of_one_constant_is_trained_on(tmp_path: Path) -> None:
    trainer = ssl_core.Trainer(config(), torch.full((6, 1, 64, 64), 0.5), tmp_path, device="cpu")
    for _ in range(3):
        trainer.train_step()
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


def test_several_channels_are_trained_on(tmp_path: Path) -> None:
    trainer = ssl_core.Trainer(config("model.channels=3"), torch.rand(6, 3, 64, 64), tmp_path, device="cpu")
    trainer.train_step()
    assert trainer.model.student.backbone.patch_embed.proj.weight.shape[1] == 3
