"""The README's own lines run, on files of the kinds that they read."""

import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text("utf-8"), re.DOTALL)


def radiographs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 65535, (120, 100), dtype=np.uint16)).save(folder / f"{i}.png")


def scans(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(3):
        units = rng.integers(-1024, 2000, (90, 80, 24)).astype(np.int16)
        affine = np.diag([-0.8, -0.8, 3.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(units, affine), folder / f"{i}.nii.gz")


def tensors(folder: Path) -> None:
    for i in range(5):
        torch.save(torch.rand(4, 100, 120), folder / f"{i}.pt")


@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=["first", "radiographs", "scans", "tensors"])
def test_each_example_of_the_readme_trains_an_encoder(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for write in (radiographs, scans, tensors):
        (tmp_path / write.__name__).mkdir()
        write(tmp_path / write.__name__)
    assert BLOCKS[number].count("\n") < 30
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[number], {})  # the documentation's own lines
    assert len(list(tmp_path.glob("runs/*/encoder/model.safetensors"))) == 1
