"""Facts about the demo, on few patients and few steps."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
TINY = ["--patients", 60, "--steps", 6, "--size", 96]


@pytest.fixture(scope="module")
def demo(raddino: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "run"
    done = raddino("demo", "--out", out, *TINY)
    assert done.returncode == 0, done.stderr
    assert str(out / "report.html") in done.stdout.replace("\n", "")
    return out


@pytest.mark.slow
def test_the_page_is_one_file_and_says_first_what_phantoms_are_not(demo: Path) -> None:
    html = (demo / "report.html").read_text()
    body = re.sub(r"<[^>]+>", " ", html.split("<body>")[1])
    assert body.split(".")[0].strip().startswith("Phantoms are not patients")
    assert not re.search(r'(src|href)="(?!data:)', html)
    for heading in ("What the student saw", "How training went", "Reports by retrieval", "not a medical device"):
        assert heading in html
    assert html.count("data:image/") >= 5


@pytest.mark.slow
def test_the_results_hold_every_encoder_and_the_proof(demo: Path) -> None:
    results = json.loads((demo / "results.json").read_text())
    assert results["synthetic"] is True
    for part in ("probes", "segmentation", "reports"):
        assert list(results[part]) == ["trained", "random", "pixels"]
    assert set(results["proof"]) == {"findings_apart", "sex_apart", "age_error_lower", "lung_dice_higher"}
    assert results["probes"]["trained"]["age"]["metric"] == "mae"
    assert results["configuration"]["steps"] == 6
    assert str(demo) not in (demo / "results.json").read_text()


@pytest.mark.slow
def test_started_again_it_repeats_nothing_and_refuses_another_configuration(demo: Path, raddino: Run) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in (demo / "stages").iterdir()}
    weights = (demo / "run" / "encoder" / "model.safetensors").stat().st_mtime_ns
    again = raddino("demo", "--out", demo, *TINY)
    assert again.returncode == 0
    assert again.stderr.count("done before") == len(stamps)
    assert {path: path.stat().st_mtime_ns for path in (demo / "stages").iterdir()} == stamps
    assert (demo / "run" / "encoder" / "model.safetensors").stat().st_mtime_ns == weights
    other = raddino("demo", "--out", demo, "--patients", 61, "--steps", 6, "--size", 96)
    assert other.returncode == 1
    assert "begun with patients 60, and now patients is 61" in other.stderr


@pytest.mark.slow
def test_stopped_after_a_stage_it_goes_on_from_there(demo: Path, raddino: Run) -> None:
    (demo / "stages" / "probes-trained.json").unlink()
    before = json.loads((demo / "results.json").read_text())
    again = raddino("demo", "--out", demo, *TINY)
    assert again.stderr.count("done before") == len(list((demo / "stages").iterdir())) - 1
    assert json.loads((demo / "results.json").read_text())["probes"] == before["probes"]


@pytest.mark.slow
def test_what_is_broken_is_an_error_and_not_skipped(demo: Path, raddino: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(demo, copy)
    (copy / "features" / "trained" / "patches.npy").unlink()
    (copy / "stages" / "segmentation-trained.json").unlink()
    again = raddino("demo", "--out", copy, *TINY)
    assert again.returncode == 1
    assert "expected features with patch tokens" in again.stderr
    assert not (copy / "stages" / "segmentation-trained.json").exists()


@pytest.mark.slow
def test_the_commands_alone_read_what_the_demo_wrote(demo: Path, raddino: Run, tmp_path: Path) -> None:
    features, shards, head = demo / "features" / "trained", demo / "shards", tmp_path / "head.safetensors"
    scores = json.loads(raddino("probe", features, "--target", "age", "--json").stdout)
    assert scores["age"] == json.loads((demo / "results.json").read_text())["probes"]["trained"]["age"]
    assert raddino("seg", "train", features, "--shards", shards, "--head", head, "--epochs", "1").returncode == 0
    dice = json.loads(raddino("seg", "evaluate", features, "--shards", shards, "--head", head, "--json").stdout)
    assert 0 < dice["mean"]["value"] <= 1
    assert raddino("seg", "predict", features, "--head", head, "--out", tmp_path / "maps").returncode == 0
    assert cv2.imread(str(next((tmp_path / "maps").glob("*.png"))), cv2.IMREAD_UNCHANGED).shape == (512, 512)
    scores = json.loads(raddino("report", "evaluate", features, "--json").stdout)["systems"]
    assert 0 <= scores["retrieval"]["rouge_l"]["value"] <= 1
    assert raddino("report", "generate", features, "--out", tmp_path / "r.jsonl").returncode == 0
    assert raddino("data", "verify", shards).returncode == 0
    info = json.loads(raddino("data", "info", shards, "--json").stdout)
    assert sum(split["patients"] for split in info["splits"].values()) == 60
    wrong = raddino("probe", features, "--target", "nothing")
    assert wrong.returncode == 1
    assert "expected a target of" in wrong.stderr


@pytest.mark.slow
def test_plain_images_without_labels_skip_what_they_cannot_show(raddino: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        small = rng.random((6, 5)).astype(np.float32)
        cv2.imwrite(str(source / f"{i}.png"), (cv2.resize(small, (120, 130)) * 65535).astype(np.uint16))
    (tmp_path / "out").mkdir()
    command = ("demo", "--source", source, "--out", ".", "--steps", 3, "--size", 96, "--json")
    done = raddino(*command, cwd=tmp_path / "out")  # any name of the folder will do
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert set(results["skipped"]) == {"probes", "segmentation", "reports"}
    assert "Phantoms" not in (tmp_path / "out" / "report.html").read_text()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious.txt").write_text("x")
    assert "other files" in raddino("demo", "--out", mine, "--fresh").stderr
    assert (mine / "precious.txt").exists()
