"""Facts about `raddino pretrain`: several processes, and being told to stop."""

import json
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
from raddino_cli.work.images import ImagesFromShards, ImagesInMemory, training_images

Run = Callable[..., subprocess.CompletedProcess[str]]
TINY = [
    f"--set={setting}"
    for setting in (
        "model.embed_dim=32", "model.depth=1", "model.num_heads=2", "head.prototypes=32", "head.hidden=32",
        "head.bottleneck=16", "crops.global_size=32", "crops.local_size=16", "crops.encode_size=32",
        "train.batch_size=4", "train.log_every=1", "train.checkpoint_every=1000",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pretrain")
    (root / "source").mkdir()
    rows = ["path,split"]
    for i in range(12):
        cv2.imwrite(str(root / "source" / f"{i}.png"), np.random.default_rng(i).integers(0, 65535, (64, 64), np.uint16))
        rows.append(f"{i}.png,train")
    (root / "source" / "labels.csv").write_text("\n".join(rows) + "\n")
    cxr_io.ingest(root / "source", root / "shards", short_side=48, workers=0, key="sixteen characters or more")
    return root / "shards"


def test_images_read_as_needed_are_all_there_once_an_epoch_in_an_order_of_its_own(shards: Path) -> None:
    images = training_images(shards, 0, stream=True, processes=1)
    assert isinstance(images, ImagesFromShards)
    whole = {bytes(image.numpy()) for image in training_images(shards, 0, stream=False, processes=1)}
    orders = []
    for epoch in (0, 1, 0):
        images.set_epoch(epoch)
        orders.append([bytes(images[i].numpy()) for i in range(len(images))])
        assert set(orders[-1]) == whole
        assert len(orders[-1]) == len(whole) == 12
    assert orders[0] == orders[2] != orders[1]
    assert isinstance(training_images(shards, 0, stream=None, processes=1), ImagesInMemory)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["--stream", "--in-memory"])
def test_two_processes_train_one_encoder(where: str, raddino: Run, shards: Path, tmp_path: Path) -> None:
    words = ["--processes", 2, where, *TINY, "--set=train.steps=3"]
    done = raddino("pretrain", shards, "--out", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "encoder" / "model.safetensors").is_file()
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3]


@pytest.mark.slow
def test_a_batch_that_processes_cannot_share_is_one_line(raddino: Run, shards: Path, tmp_path: Path) -> None:
    done = raddino("pretrain", shards, "--out", tmp_path / "run", "--processes", 3, *TINY)
    assert done.returncode == 1
    assert "multiple of the 3 processes" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_sigterm_saves_says_so_and_the_same_command_goes_on(processes: int, shards: Path, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "raddino"), "pretrain", str(shards), "--out", str(tmp_path / "run")]
    command += [f"--processes={processes}", *TINY, "--set=train.steps=120"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "metrics.jsonl"
    while run.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 3):
        time.sleep(0.02)
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 143, errors
    assert "the same command goes on" in errors
    step = int(next((tmp_path / "run" / "checkpoints").glob("step-*")).stem.removeprefix("step-"))
    assert 3 < step < 120
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    rows = [json.loads(row)["step"] for row in log.read_text().splitlines()]
    assert rows == list(range(1, 121))
