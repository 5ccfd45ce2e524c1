"""Facts about `raddino bench`, on pictures that show a finding as a bright corner and sex as a gradient."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import cxr_io
import cxr_phantom
import numpy as np
import pytest
import timm
import torch
from raddino_cli.work.bench_files import notes
from raddino_cli.work.bench_table import Settings
from raddino_cli.work.benching import bench
from safetensors.torch import save_file

Run = Callable[..., subprocess.CompletedProcess[str]]
KEY = "sixteen characters or more"
QUICK = ["--replicates", 50, "--short-side", 16, "--workers", 0]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of each of 300 patients; a nodule is there but rare."""
    root, rng = tmp_path_factory.mktemp("archive"), np.random.default_rng(0)
    lines = ["path,patient,view,sex,age,manufacturer,split,Pleural_Effusion,opacity,hernia"]
    for i in range(300):
        effusion, sex, view = rng.random() < 0.4, rng.random() < 0.5, rng.random() < 0.5
        picture = rng.normal(30_000, 6_000, (16, 16)) + 4_000 * np.arange(16)[:, None] / 16 * sex
        picture[10:, :6] += 9_000 * effusion
        picture[:6, 10:] += 3_000 * view
        cv2.imwrite(str(root / f"{i}.png"), picture.clip(0, 65535).astype(np.uint16))
        split = ("train", "train", "train", "val", "test", "test")[i % 6]
        opacity = effusion if rng.random() < 0.8 else not effusion
        lines.append(
            f"{i}.png,p{i},{('PA', 'AP')[view]},{'MF'[sex]},{rng.integers(20, 90)},GE,{split},"
            f"{int(effusion)},{int(opacity)},{int(i < 5)}"
        )
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def shards(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "shards"
    cxr_io.ingest(archive, out, short_side=16, workers=0, key=KEY)
    return out


def stages(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "stages").glob("*.json")}


@pytest.mark.slow
def test_an_archive_becomes_one_table_in_every_form(raddino: Run, archive: Path, tmp_path: Path) -> None:
    out, listed = tmp_path / "out", tmp_path / "list.txt"
    listed.write_text("4.png\n5.png\n6.png\n")
    done = raddino(
        "bench", archive, "--encoders", "pixels:2,pixels:8", "--out", out, *QUICK, "--by", "sex", "--shots", "1,8",
        "--targets", "pleural effusion,opacity,hernia,sex,view,age", "--beyond", "view", "--trained-on",
        f"pixels:8={listed}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "results.json").read_text())
    assert list(found["results"]) == ["pixels:2", "pixels:8", "view alone"]
    lines = {(r["name"], r["group"], r["metric"]): r for r in found["results"]["pixels:8"]}
    assert lines["Pleural_Effusion", "", "auroc"]["low"] > 0.8
    assert lines["view", "", "auroc"]["n"] == 100
    assert lines["hernia", "", "auroc"]["value"] is None
    assert "positives in" in lines["hernia", "", "auroc"]["reason"]
    assert lines["macro", "", "average_precision"]["reason"] == "mean of 2 of 3 targets"
    assert {metric for name, _, metric in lines if name == "age"} == {"mae", "r2", "pearson"}
    beyond, gain = (lines["Pleural_Effusion", words, "auroc"] for words in ("beyond view", "gain over view"))
    assert beyond["low"] > 0.8
    assert gain["low"] > 0.1
    assert ("view", "beyond view", "auroc") not in lines
    alone = {r["name"]: r for r in found["results"]["view alone"] if r["metric"] == "auroc"}
    assert alone["Pleural_Effusion"]["low"] < 0.6
    assert {r["group"] for r in found["groups"]["pixels:2"]} >= {"sex=F", "sex=M"}
    few, more = [r["value"] for r in found["shots"]["pixels:8"] if r["name"] == "Pleural_Effusion"]
    assert few < more
    compared = {line["name"]: line for line in found["comparisons"]["auroc: pixels:8 minus pixels:2"]}
    assert set(compared) == {"Pleural_Effusion", "opacity", "sex", "view"}
    assert compared["Pleural_Effusion"]["p_holm"] >= compared["Pleural_Effusion"]["p"]
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert {row["model"] for row in rows} == {"pixels:2", "pixels:8", "view alone"}
    assert {"sex=F", "8 shots", "beyond view"} <= {row["group"] for row in rows}
    assert "| Pleural_Effusion |  | auroc | 0." in (out / "results.md").read_text()
    page = (out / "results.md").read_text()
    again = page.rpartition("```\n")[0].rpartition("```\n")[2]
    done = raddino(*shlex.split(again)[1:], "--out", out)
    assert done.returncode == 0, done.stderr
    assert (out / "results.md").read_text() == page
    assert r"Pleural\_Effusion & " in (out / "results.tex").read_text()
    for name in ("results.svg", "shots.svg"):
        assert "<svg" in (out / name).read_text()
        assert (out / name).with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    for words in ("pixels:8", "view alone", "gain over view", "By group", "From few images"):
        assert words in done.stdout
    assert "Leakage of pixels:2" not in done.stdout  # which learnt nothing
    assert "Leakage of pixels:8, by image: 2 of 100 test identifiers (2.0 %) are among those of" in done.stdout


def test_what_is_finished_is_never_measured_again(shards: Path, tmp_path: Path) -> None:
    out, asked = tmp_path / "out", Settings(("pixels:2",), ("sex", "opacity"), replicates=50)
    bench(shards, out, asked)
    before = stages(out)
    found = bench(shards, out, replace(asked, encoders=("pixels:2", "pixels:4")))
    assert list(found.results) == ["pixels:2", "pixels:4"]
    after = stages(out)
    assert {name: after[name] for name in before} == before
    assert {name.split("-")[0] for name in set(after) - set(before)} == {"embed", "cell", "compare"}
    again = bench(shards, out, replace(asked, encoders=("pixels:4",), metrics=("ece",)))
    assert [result.metric for result in again.results["pixels:4"]] == ["ece", "ece"]
    assert stages(out) == after
    with pytest.raises(ValueError, match="replicates 50, and now replicates is 60"):
        bench(shards, out, replace(asked, replicates=60))


@pytest.mark.slow
def test_a_killed_bench_goes_on(raddino: Run, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["bench", shards, "--encoders", "pixels:2,pixels:4,pixels:8", "--out", out, *QUICK]
    command = [str(Path(sys.executable).parent / "raddino"), *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not any(name.startswith("cell-") for name in stages(out)) and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = stages(out)
    assert raddino(*words).returncode == 0
    after = stages(out)
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)


def test_other_shards_and_other_weights_are_other_cells(archive: Path, shards: Path, tmp_path: Path) -> None:
    cxr_io.ingest(archive, tmp_path / "larger", short_side=24, workers=0, key=KEY)
    weights, out = tmp_path / "weights.safetensors", tmp_path / "out"
    spec, seen = f"timm:test_vit.r160_in1k@{weights}", []
    for source, seed in ((shards, 0), (shards, 0), (shards, 1), (tmp_path / "larger", 1)):
        torch.manual_seed(seed)
        save_file(timm.create_model("test_vit", num_classes=0).state_dict(), weights)
        found = bench(source, out, Settings((spec,), ("sex",), layers=2, grid=99, replicates=50))
        seen.append(len(stages(out)))
    assert seen == [2, 2, 4, 6]
    assert {np.load(path).shape[1] for path in out.glob("features/*/layers.npy")} == {2}
    assert {np.load(path).shape[2:] for path in out.glob("features/*/grid.npy")} == {(10, 10)}  # as many as there are
    assert notes(found) == [f"Leakage of {spec}: not checked, no training list."]


@pytest.fixture(scope="module")
def vindr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms in the layout of VinDr-CXR, three readers of each training image."""
    root, made = tmp_path_factory.mktemp("vindr"), tmp_path_factory.mktemp("made")
    cxr_phantom.generate(made, patients=300, size=64, workers=1)
    findings = {"pleural_effusion": "Pleural effusion", "cardiomegaly": "Cardiomegaly"}
    silent = ("Lung Opacity", "Pleural thickening", "Aortic enlargement", "Pulmonary fibrosis", "Tuberculosis")
    (root / "annotations").mkdir()
    tables = {
        split: [["image_id", *head, *findings.values(), *silent]]
        for split, head in (("train", ["rad_id"]), ("test", []))
    }
    with (made / "labels.csv").open() as file:
        for i, row in enumerate(csv.DictReader(file)):
            split = "test" if int(re.sub(r"\D", "", row["patient"])) % 5 < 2 else "train"
            (root / split).mkdir(exist_ok=True)
            (made / row["path"]).rename(root / split / f"{i}.dicom")
            marks = [row[name] or "0" for name in findings] + ["0"] * len(silent)
            readers = [[f"R{r}"] for r in range(3)] if split == "train" else [[]]
            tables[split] += [[str(i), *reader, *marks] for reader in readers]
    for split, rows in tables.items():
        text = "\n".join(map(",".join, rows)) + "\n"
        (root / "annotations" / f"image_labels_{split}.csv").write_text(text)
    return root


@pytest.mark.slow
def test_the_protocol_of_vindr_needs_only_the_path(
    raddino: Run, vindr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_IO_KEY", KEY)  # by which patients are dealt to train and val
    done = raddino("bench", "--protocol", "vindr", vindr, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "runs" / "bench" / "results.json").read_text())
    assert found["protocol"]["dataset"] == "VinDr-CXR"
    for lines in found["results"].values():
        assert {line["metric"] for line in lines} == {"average_precision"}
        assert [line["name"] for line in lines if line["value"] is not None] == [
            "Cardiomegaly",
            "Pleural effusion",
            "macro",
        ]
        assert lines[-1]["reason"] == "mean of 2 of 7 targets"
    assert len(found["results"]) == 2
    assert "Not confirmed by any document: findings, split." in done.stdout


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"method": "svm"}, "expected the method linear, knn, logistic, attentive; got 'svm'"),
        ({"metrics": ("auroc", "accuracy")}, "got 'accuracy'"),
        ({"beyond": ("report",)}, "expected confounders of sex, view, manufacturer, age"),
        ({"by": ("height",)}, "expected groups by sex, age, view, manufacturer; got 'height'"),
        ({"protocol": "chexpert"}, "expected one of vindr, rsna, candid-ptx, mimic-metadata, got 'chexpert'"),
        ({"protocol": "vindr"}, r"expected VinDr-CXR for this protocol \(layout vindr-cxr\), .* is csv"),
        ({"targets": ("sex", "nothing")}, "expected a target of Pleural_Effusion, .*opacity, sex, view"),
        ({"encoders": ("nonsense",)}, "nonsense"),
        ({"trained_on": {"runs/first": Path("a")}}, "training lists of the encoders pixels:2; got 'runs/first'"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    archive: Path, shards: Path, tmp_path: Path, asked: dict[str, Any], says: str
) -> None:
    lists = asked.pop("trained_on", None)
    for source in (shards, archive) if "protocol" in asked else (shards,):
        with pytest.raises(ValueError, match=says):
            bench(source, tmp_path / "out", Settings(**{"encoders": ("pixels:2",), **asked}), trained_on=lists)


def test_words_that_are_no_numbers_or_pairs_are_one_line(raddino: Run, shards: Path, tmp_path: Path) -> None:
    for words, says in (
        (["--shots", "few"], "error: --shots: expected numbers such as 1,4,16; got 'few'"),
        (["--trained-on", "list.txt"], "error: --trained-on: expected ENCODER=FILE, got 'list.txt'"),
    ):
        done = raddino("bench", shards, "--out", tmp_path / "out", *words)
        assert (done.returncode, done.stderr.strip()) == (1, says)
