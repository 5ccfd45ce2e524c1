"""Facts about `raddino report`: text files scored, a reporter trained and measured."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from raddino_cli.work.features import load_features
from raddino_cli.work.reporting import reports_of
from raddino_cli.work.writing import examples_of
from transformers import BertConfig, BertModel

Run = Callable[..., subprocess.CompletedProcess[str]]
TRUTH = "Left effusion.\nNo edema.\n\nRib fracture.\n"


def test_any_systems_reports_are_scored_from_two_text_files(raddino: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TRUTH)
    (tmp_path / "b.txt").write_text("Left effusion.\n\nNodule.\nNodule.\n")
    command = ["report", "evaluate", "--references", tmp_path / "a.txt", "--candidates", tmp_path / "b.txt"]
    found = json.loads(raddino(*command, "--json").stdout)
    assert found["pairs"] == 3
    assert found["counts"] == {"empty references, left out": 1, "empty candidates": 1}
    assert found["systems"]["candidates"]["omission"]["value"] == 0.5
    assert found["findings"]["Fracture"]["omission"]["value"] == 1
    shown = raddino(*command).stdout
    assert "rouge_l" in shown
    assert "1 empty candidates" in shown


def test_unequal_files_are_refused_by_name(raddino: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TRUTH)
    (tmp_path / "b.txt").write_text("Left effusion.\n")
    command = ["report", "evaluate", "--references", tmp_path / "a.txt", "--candidates", tmp_path / "b.txt"]
    done = raddino(*command)
    assert done.returncode == 1
    assert "b.txt" in done.stderr
    assert "got 1 and 4" in done.stderr
    (tmp_path / "a.txt").write_text("\n")
    assert "found none" in raddino(*command).stderr
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    assert "UTF-8" in raddino(*command).stderr


def test_it_scores_features_or_files_and_not_both(raddino: Run, tmp_path: Path) -> None:
    assert raddino("report", "evaluate").returncode == 2
    assert raddino("report", "evaluate", tmp_path, "--references", tmp_path / "a.txt").returncode == 2


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of 60 images whose tokens say which of three reports is theirs."""
    out = tmp_path_factory.mktemp("features")
    rng, kinds = np.random.default_rng(0), np.arange(60) % 3
    patches = rng.normal(0, 0.2, (60, 6, 2, 2)) + 4 * np.eye(6)[kinds][:, :, None, None]
    np.save(out / "patches.npy", patches.astype(np.float16))
    np.save(out / "cls.npy", rng.normal(size=(60, 6)).astype(np.float32))
    sayings = ["FINDINGS:\nNo effusion.", "FINDINGS:\nLarge effusion.", "FINDINGS:\nThe heart is enlarged."]
    columns = {
        "key": [f"k{i}" for i in range(60)],
        "split": ["train"] * 30 + ["val"] * 9 + ["test"] * 21,
        "patient": [f"p{i}" for i in range(60)],
        "report": [sayings[k] if i != 59 else "IMPRESSION: None." for i, k in enumerate(kinds)],
    }
    pq.write_table(pa.table(columns), out / "samples.parquet")
    (out / "features.json").write_text(json.dumps({"encoder": "made"}))
    return out


@pytest.mark.slow
def test_a_reporter_trains_writes_and_beats_every_baseline(raddino: Run, features: Path, tmp_path: Path) -> None:
    run, said, blind = tmp_path / "run", tmp_path / "said.jsonl", tmp_path / "blind.jsonl"
    sizes = ["--set", "width=32", "--set", "heads=2", "--set", "steps=80", "--set", "learning_rate=0.01"]
    done = raddino("report", "train", features, "--out", run, *sizes, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["val_perplexity"] < 1.5
    written = raddino("report", "generate", features, "--reporter", run, "--out", said)
    assert "20 reports" in written.stdout, written.stderr
    assert raddino("report", "generate", features, "--reporter", run, "--out", blind, "--shuffled").returncode == 0
    done = raddino("report", "evaluate", features, "--generated", said, "--generated", blind, "--json")
    found = json.loads(done.stdout)
    assert found["counts"] == {"no findings": 1}
    assert list(found["systems"]) == ["said", "blind", "retrieval", "most frequent", "shuffled"]
    low = found["systems"]["said"]["f1_14_micro"]["low"]
    assert all(low > s["f1_14_micro"]["high"] for name, s in found["systems"].items() if name != "said")
    assert found["differences"]["said - retrieval"]["f1_14_micro"]["low"] > 0
    assert found["findings"]["Cardiomegaly"]["omission"]["value"] == 0


def test_a_lateral_image_is_shown_and_not_reported(raddino: Run, features: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(features, both)
    table = pq.read_table(features / "samples.parquet").to_pydict()
    table["study"] = [f"s{i // 2}" for i in range(60)]
    table["view"] = ["PA", "LATERAL"] * 30
    pq.write_table(pa.table(table), both / "samples.parquet")
    known = load_features(both)
    test = reports_of(known, "test")
    assert test.rows.tolist() == list(range(40, 60, 2))
    assert test.left_out == {"lateral images": 11}
    assert examples_of(known, test).views["lateral"].tolist() == list(range(41, 60, 2))
    assert examples_of(load_features(features), test).views["lateral"].tolist() == [-1] * 10


def test_published_weights_measure_more(raddino: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TRUTH)
    (tmp_path / "weights" / "radgraph").mkdir(parents=True)
    command = ["report", "evaluate", "--references", tmp_path / "a.txt", "--candidates", tmp_path / "a.txt"]
    done = raddino(*command, "--published", tmp_path)
    assert "chexbert/chexbert.pth" in done.stderr
    done = raddino(*command, "--published", tmp_path / "weights")
    assert "weights.th" in done.stderr
    (tmp_path / "weights" / "radgraph").rename(tmp_path / "weights" / "none")
    write_chexbert(tmp_path / "weights" / "chexbert")
    found = json.loads(raddino(*command, "--published", tmp_path / "weights", "--json").stdout)
    scores = found["systems"]["candidates"]
    assert scores["chexbert_similarity"]["value"] == pytest.approx(1, abs=1e-5)
    assert scores["f1_14_micro"]["value"] != 1  # its heads say that nothing is there, where the rules find an effusion


def write_chexbert(folder: Path) -> None:
    """A stand-in in CheXbert's layout, whose heads all say "not mentioned"."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "left", "effusion"]
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    bert = BertModel(BertConfig(vocab_size=len(words), **sizes))
    weights = {f"bert.{name}": value for name, value in bert.state_dict().items()}
    for i in range(14):
        weights[f"linear_heads.{i}.weight"] = torch.zeros(4 if i < 13 else 2, 16)
        weights[f"linear_heads.{i}.bias"] = torch.eye(4 if i < 13 else 2)[0]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    torch.save({"model_state_dict": weights}, folder / "chexbert.pth")


def test_what_a_reporter_needs_is_said(raddino: Run, features: Path, tmp_path: Path) -> None:
    done = raddino("report", "generate", features, "--out", tmp_path / "r.jsonl", "--beams", "2")
    assert done.returncode == 2
    (tmp_path / "r.jsonl").write_text('{"key": "k39", "generated": "a"}\n')
    done = raddino("report", "evaluate", features, "--generated", tmp_path / "r.jsonl")
    assert "expected a report of each test image" in done.stderr
