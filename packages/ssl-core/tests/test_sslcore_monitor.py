"""What a run says about itself: probes, signs of collapse, and words where a setting is unusual."""

import json
import logging
import math
from pathlib import Path

import pytest
import ssl_core
import torch
from test_sslcore_train import config, images

FINE = {"teacher_entropy": 1.0, "rankme": 10.0}


def test_lidar_counts_the_directions_in_which_images_differ_more_than_their_views() -> None:
    torch.manual_seed(0)
    centres = torch.zeros(40, 8)
    centres[:, :3] = 10 * torch.randn(40, 3)
    views = centres + 0.1 * torch.randn(4, 40, 8)
    assert 2.5 < ssl_core.lidar(views) < 3.5
    noise = torch.randn(4, 40, 8)
    assert ssl_core.lidar(noise) > 6


def test_neighbours_of_the_same_group_have_no_vote() -> None:
    torch.manual_seed(0)
    patients = torch.randn(20, 16)
    features = patients.repeat_interleave(3, dim=0) + 0.01 * torch.randn(60, 16)
    classes = [i % 2 for i in range(20) for _ in range(3)]
    groups = [i for i in range(20) for _ in range(3)]
    assert ssl_core.knn_accuracy(features, ssl_core.Labels(classes), neighbours=2) == 1
    assert ssl_core.knn_accuracy(features, ssl_core.Labels(classes, groups), neighbours=2) < 0.8


def test_neighbours_find_classes_that_are_there() -> None:
    torch.manual_seed(0)
    classes = [i % 3 for i in range(90)]
    features = torch.eye(3)[classes] + 0.2 * torch.randn(90, 3)
    assert ssl_core.knn_accuracy(features, ssl_core.Labels(classes)) > 0.95
    assert math.isnan(ssl_core.knn_accuracy(features, ssl_core.Labels([0] * 90)))


def test_a_run_probes_on_the_way_where_labels_are_given(tmp_path: Path) -> None:
    classes = [i % 2 - (i == 3) for i in range(20)]
    trainer = ssl_core.Trainer(
        config("train.knn_every=4"), images(), tmp_path, device="cpu", labels=ssl_core.Labels(classes, list(range(20)))
    )
    trainer.fit()
    rows = [line for line in (tmp_path / "metrics.jsonl").read_text().splitlines() if '"knn"' in line]
    assert len(rows) == 2
    with pytest.raises(ssl_core.SslError, match="labels"):
        ssl_core.Trainer(config("train.knn_every=4"), images(), tmp_path / "b", device="cpu")


@pytest.mark.parametrize(
    ("row", "sign"),
    [
        (FINE, None),
        (FINE | {"teacher_entropy": math.log(128) * 0.9999}, "uniform"),
        (FINE | {"teacher_entropy": 1e-4}, "one-hot"),
        (FINE | {"rankme": 1.1}, "rank"),
    ],
)
def test_collapse_is_told_by_its_sign(row: dict[str, float], sign: str | None) -> None:
    assert list(ssl_core.collapse_signs(row, 128)) == ([] if sign is None else [sign])


def test_a_collapsing_run_warns_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = torch.full((20, 1, 64, 64), 0.5)
    flat = ["optim.warmup=0", "model.whitening=0", "crops.brightness=0", "crops.contrast=0", "crops.gamma=0"]
    with caplog.at_level(logging.WARNING, logger="ssl_core"):
        ssl_core.Trainer(config(*flat), data, tmp_path, device="cpu").fit()
    assert sum("effective rank" in record.message for record in caplog.records) == 1


def test_small_batches_few_images_and_many_prototypes_are_told_in_words() -> None:
    told = " ".join(ssl_core.advice(config("head.prototypes=4096"), 20))
    for word in ("KoLeo", "sqrt(6 / 1024)", "20 images are few", "4096 prototypes for 20 images"):
        assert word in told
    assert ssl_core.advice(ssl_core.load_config("cpu-tiny"), 100000) == []


def test_tensorboard_gets_what_the_metrics_file_gets(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    ssl_core.Trainer(config("train.logger=tensorboard", "train.steps=2"), images(), tmp_path, device="cpu").fit()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"loss", "lr", "rankme"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [1, 2]


def test_mlflow_gets_what_the_metrics_file_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = tmp_path / "first"
    ssl_core.Trainer(config("train.logger=mlflow", "train.steps=2"), images(), run, device="cpu").fit()
    mlflow.end_run()
    (found,) = mlflow.search_runs(output_format="list")
    assert found.info.run_name == "first"
    history = mlflow.MlflowClient().get_metric_history(found.info.run_id, "loss")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(metric.step, metric.value) for metric in history] == [(row["step"], row["loss"]) for row in rows]


def test_wandb_keeps_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    ssl_core.Trainer(config("train.logger=wandb", "train.steps=2"), images(), tmp_path / "first", device="cpu").fit()
    wandb.finish()
    (kept,) = (tmp_path / "first" / "wandb").glob("offline-run-*/*.wandb")
    for line in (tmp_path / "first" / "metrics.jsonl").read_text().splitlines():
        assert json.dumps(json.loads(line)["loss"]).encode() in kept.read_bytes()


def test_a_tracker_that_is_not_installed_is_named_with_its_pip_line(tmp_path: Path) -> None:
    try:
        import mlflow  # noqa: F401
    except ImportError:
        trainer = ssl_core.Trainer(config("train.logger=mlflow"), images(), tmp_path, device="cpu")
        with pytest.raises(ssl_core.SslError, match=r"pip install 'ssl-core\[mlflow\]'"):
            trainer.fit()
    else:
        pytest.skip("mlflow is installed")
