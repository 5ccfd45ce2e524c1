"""Facts about training on images and their reports."""

import json
import math
import re
from pathlib import Path

import cxr_io
import cxr_phantom
import pytest
import ssl_core
import torch
from raddino_cli.image_text.model import TextEncoder, symmetric_loss
from raddino_cli.image_text.reports import PADDING, UNKNOWN, Vocabulary, with_patient
from raddino_cli.image_text.training import Pairs, step_flops, train
from raddino_cli.work.features import NothingToMeasureError

PAIRS = Pairs(
    batch_size=16, learning_rate=1e-3, temperature=0.07, mentions=False, width=64, layers=1, shared=32, length=64
)
SMALL = ["crops.global_size=48", "crops.encode_size=64", "train.checkpoint_every=4", "train.log_every=2"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pairs")
    cxr_phantom.generate(root / "phantoms", patients=60, size=64, workers=1)
    labels = root / "phantoms" / "labels.csv"
    labels.write_text(re.sub(r"reports/p\d*0_\d+\.txt", "", labels.read_text()))  # every tenth patient has none
    cxr_io.ingest(root / "phantoms", root / "shards", short_side=64, workers=0)
    return root / "shards"


def config(steps: int, *more: str) -> ssl_core.Config:
    return ssl_core.load_config("cpu-tiny", [*SMALL, f"train.steps={steps}", *more])


def rows(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_loss_is_the_textbooks_in_both_directions() -> None:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    by_hand = 0.0
    for i in range(5):
        by_hand -= math.log(logits[i, i].exp() / logits[i].exp().sum())
        by_hand -= math.log(logits[i, i].exp() / logits[:, i].exp().sum())
    assert symmetric_loss(logits).item() == pytest.approx(by_hand / 10, rel=1e-5)
    assert symmetric_loss(100 * torch.eye(5)).item() == pytest.approx(0, abs=1e-6)


def test_padding_changes_no_report() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(20, 64, 2, 12).eval()
    short, long = torch.tensor([[5, 6, 7]]), torch.tensor([[5, 6, 7, *[PADDING] * 9]])
    torch.testing.assert_close(encoder(short), encoder(long))
    assert torch.isfinite(encoder(torch.full((1, 4), PADDING))).all()


def test_words_are_numbered_by_frequency_and_unknown_ones_are_told() -> None:
    vocabulary = Vocabulary.of(["No effusion. No edema.", "No nodule of 12 mm"])
    assert vocabulary.known[0] == "no"
    assert vocabulary.encode(["No 12 fractures"], 5).tolist() == [[2, vocabulary.known.index("12") + 2, UNKNOWN, 0, 0]]


def test_the_patient_is_mentioned_as_far_as_known() -> None:
    meta = {"sex": "F", "age": 61.0, "metadata": {"weight_kg": 70.4, "bmi": None}}
    assert with_patient("Clear.", meta) == "Woman. 61 years old. Weight 70 kg. Clear."


def test_pairs_are_learnt_and_the_encoder_is_one_like_any_other(shards: Path, tmp_path: Path) -> None:
    train(shards, tmp_path / "run", config(40), PAIRS)
    found = rows(tmp_path / "run")
    assert found[-1]["loss"] < found[0]["loss"]
    encoder, _ = ssl_core.load_encoder(tmp_path / "run")
    assert encoder(torch.zeros(1, 1, 64, 64)).cls.shape == (1, 128)
    known = [row for row in cxr_io.read_table(shards, ["key", "split", "report"]) if row["split"] == "train"]
    with_report = {row["key"] for row in known if row["report"]}
    listed = (tmp_path / "run" / "training.csv").read_text().splitlines()[2:]
    assert {line.split(",")[0] for line in listed} == with_report
    assert len(with_report) < len(known)


@pytest.mark.parametrize("drop_path", [0.0, 0.3])
def test_stopped_after_a_checkpoint_it_ends_as_if_it_never_had(drop_path: float, shards: Path, tmp_path: Path) -> None:
    whole, stopped, settings = tmp_path / "whole", tmp_path / "stopped", config(12, f"model.drop_path={drop_path}")
    train(shards, whole, settings, PAIRS)
    with pytest.raises(KeyboardInterrupt):
        train(shards, stopped, settings, PAIRS, progress=lambda done, _: stop_at(6, done))
    train(shards, stopped, settings, PAIRS)
    a, b = (ssl_core.load_encoder(run)[0].state_dict() for run in (whole, stopped))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert rows(whole) == rows(stopped)


def stop_at(step: int, done: int) -> None:
    if done == step:
        raise KeyboardInterrupt


def test_operations_grow_with_the_batch_and_are_those_of_both_towers() -> None:
    small = config(1)
    one = step_flops(small, PAIRS)
    images = 3 * 2 * 16 * ssl_core.encoder_flops(small.model, 48)
    assert one > images
    words = 3 * 16 * (24 * 64 * 64**2 + 4 * 64**2 * 64)
    assert one == images + words


def test_images_without_reports_are_refused(tmp_path: Path) -> None:
    cxr_phantom.generate(tmp_path / "phantoms", patients=30, size=64, workers=1)
    cxr_io.ingest(tmp_path / "phantoms" / "dicom", tmp_path / "shards", short_side=64, workers=0)
    with pytest.raises(NothingToMeasureError, match="expected images with reports"):
        train(tmp_path / "shards", tmp_path / "run", config(1), PAIRS)
