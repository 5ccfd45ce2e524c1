"""Facts about training sets that are a part of some shards, and about textures in the places of their images."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raddino_cli.work.images import Chosen, ImagesInMemory, training_images
from raddino_cli.work.leaks import write_training_list
from raddino_cli.work.textures import texture
from safetensors.torch import load_file

Run = Callable[..., subprocess.CompletedProcess[str]]
COUNT = 40
STUDY = """
title = "Tiny"
seeds = [0]
[base]
data.patients = 150
data.size = 64
train.steps = 4
train.batch_size = 16
crops.global_size = 48
crops.encode_size = 64
evaluate.probes = ["sex"]
evaluate.masks = []
[[factors]]
name = "start"
base = "nothing"
[factors.levels]
nothing = {}
textures = {foreign.before = 0.5}
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("foreign")
    (root / "source").mkdir()
    rows = ["path,split,manufacturer"]
    for i in range(COUNT):
        cv2.imwrite(str(root / "source" / f"{i}.png"), np.random.default_rng(i).integers(0, 65535, (24, 30), np.uint16))
        rows.append(f"{i}.png,train,{'Philips' if i % 4 else 'Siemens'}")
    (root / "source" / "labels.csv").write_text("\n".join(rows) + "\n")
    cxr_io.ingest(root / "source", root / "shards", short_side=16, workers=0, key="sixteen characters or more")
    return root / "shards"


def contents(images: ImagesInMemory) -> list[bytes]:
    return [images[i].numpy().tobytes() for i in range(len(images))]


@settings(deadline=None, max_examples=20)
@given(share=st.floats(0.2, 1), foreign=st.floats(0, 1))
def test_textures_take_the_places_of_images_one_by_one(shards: Path, share: float, foreign: float) -> None:
    whole = contents(ImagesInMemory(shards, "train", Chosen(share)))
    mixed = contents(ImagesInMemory(shards, "train", Chosen(share, foreign=foreign)))
    assert len(mixed) == len(whole)
    strange = [item for item in mixed if item not in whole]
    assert strange == [texture(i, 16).tobytes() for i in range(len(strange))]
    assert len(strange) == {0.0: 0, 1.0: len(whole)}.get(foreign, len(strange))


def test_balanced_domains_are_seen_equally_often(shards: Path) -> None:
    everything = contents(ImagesInMemory(shards, "train"))
    mixed = contents(ImagesInMemory(shards, "train", Chosen(foreign=0.8, balance=True)))
    own = [item for item in mixed if item in everything]
    assert 2 * len(own) == len(mixed) > len(everything)
    assert len(set(own)) < COUNT // 2


def test_one_manufacturer_is_its_images_and_so_says_the_training_list(shards: Path, tmp_path: Path) -> None:
    chosen = Chosen(manufacturer="Siemens")
    assert len(training_images(shards, 0, stream=None, processes=1, chosen=chosen)) == COUNT // 4
    write_training_list(shards, tmp_path, chosen)
    listed = {line.split(",")[0] for line in (tmp_path / "training.csv").read_text().splitlines()[2:]}
    rows = cxr_io.read_table(shards, ["key", "manufacturer"])
    assert listed == {row["key"] for row in rows if row["manufacturer"] == "Siemens"}


def test_textures_use_the_whole_range_and_each_is_another() -> None:
    found = [texture(i, 32) for i in range(50)]
    assert all((image.min(), image.max()) == (0, 65535) for image in found)
    assert len({image.tobytes() for image in found}) == 50
    np.testing.assert_array_equal(found[7], texture(7, 32))


@pytest.mark.slow
def test_a_run_starts_from_its_encoder_of_textures(raddino: Run, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    done = raddino("ablate", tmp_path / "study.toml", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (start,) = (tmp_path / "out" / "runs").glob("*/start.json")
    assert json.loads(start.read_text())["loaded"]
    first = start.parent / "before"
    assert json.loads((first / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 2
    listed = (first / "training.csv").read_text().splitlines()
    assert len(listed) == 3  # none of the archive's images
    assert listed[-1].startswith("# textures in the places of images: ")
    assert raddino("card", first, "--out", tmp_path / "card.md").returncode == 0
    assert f"In the places of {listed[-1].split()[-1]} more there were textures" in (tmp_path / "card.md").read_text()


@pytest.mark.slow
def test_killed_while_textures_are_trained_on_it_ends_with_the_same_weights(raddino: Run, tmp_path: Path) -> None:
    study = STUDY.replace("train.steps = 4", "train.steps = 20\ntrain.checkpoint_every = 1")
    (tmp_path / "study.toml").write_text(study)
    command = [Path(sys.executable).parent / "raddino", "ablate", tmp_path / "study.toml", "--out", tmp_path / "killed"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet, start_new_session=True) as work:
        while not list((tmp_path / "killed" / "runs").glob("*/before/checkpoints/step-*")):
            assert work.poll() is None
            time.sleep(0.01)
        os.killpg(work.pid, signal.SIGKILL)
    assert not list((tmp_path / "killed" / "runs").glob("*/before/encoder"))
    for name in ("killed", "whole"):
        done = raddino("ablate", tmp_path / "study.toml", "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    folders = [next((tmp_path / name / "runs").glob("*/before")) for name in ("killed", "whole")]
    for which in (folders, [folder.parent for folder in folders]):
        killed, whole = (load_file(folder / "encoder" / "model.safetensors") for folder in which)
        assert killed.keys() == whole.keys()
        assert all(torch.equal(killed[name], whole[name]) for name in killed)
