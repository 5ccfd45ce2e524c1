"""Facts about `raddino card`: it says what the files of a run tell, and names what they don't."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from huggingface_hub import ModelCard

Run = Callable[..., subprocess.CompletedProcess[str]]
TINY = [
    f"--set={setting}"
    for setting in (
        "model.embed_dim=32", "model.depth=1", "model.num_heads=2", "head.prototypes=32", "head.hidden=32",
        "head.bottleneck=16", "crops.global_size=32", "crops.local_size=16", "crops.encode_size=32",
        "train.batch_size=4", "train.steps=2", "train.log_every=1",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def place(raddino: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on 60 of 180 patients, of whom five have no age; one image each."""
    root, rng = tmp_path_factory.mktemp("card"), np.random.default_rng(0)
    (root / "source").mkdir()
    lines = ["path,patient,sex,age,view,split,effusion"]
    for i in range(180):
        cv2.imwrite(str(root / "source" / f"{i}.png"), rng.integers(0, 65535, (32, 32), np.uint16))
        age = "" if i < 15 else 30 + i % 3 + 20 * (i % 2)
        lines.append(f"{i}.png,p{i},{'FM'[i % 2]},{age},PA,{('train', 'val', 'test')[i % 3]},{i // 6 % 2}")
    (root / "source" / "labels.csv").write_text("\n".join(lines) + "\n")
    for name, key in (("shards", "sixteen characters or more"), ("others", "another of sixteen characters")):
        cxr_io.ingest(root / "source", root / name, short_side=32, workers=0, key=key)
    done = raddino("pretrain", root / "shards", "--out", root / "first", *TINY)
    assert done.returncode == 0, done.stderr
    return root


def card(raddino: Run, place: Path, *words: object) -> str:
    out = place / "card.md"
    done = raddino("card", place / "first", "--out", out, *words)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert str(place) not in text
    return text


def test_what_no_file_tells_is_said_to_be_unknown(raddino: Run, place: Path) -> None:
    text = card(raddino, place)
    assert "60 images of 60 patients" in text
    for words in ("**Unknown**: sex, age and view", "**Not evaluated.**", "License: not stated", "2 of 2"):
        assert words in text
    assert "not a medical device" in text
    assert "self-distillation (DINO + iBOT + KoLeo)" in text
    assert (place / "first" / "config.toml").read_text().strip() in text
    found = ModelCard(text).data
    assert (found.library_name, found.license, found.eval_results) == ("transformers", None, None)


def test_training_images_are_counted_by_sex_age_and_view(raddino: Run, place: Path) -> None:
    text = card(raddino, place, "--shards", place / "shards", "--license", "apache-2.0", "--name", "ours")
    for line in ("sex | men | 30 (50.0%)", "age | <40 | 27 (45.0%)", "age | unknown | 5 (8.3%)", "view | PA | 60 (100"):
        assert line in text
    assert "# ours" in text
    assert ModelCard(text).data.license == "apache-2.0"


@pytest.mark.slow
def test_a_bench_is_in_the_tables_and_in_the_index_of_the_model(raddino: Run, place: Path) -> None:
    words = [
        "--encoders",
        f"{place / 'first'},random:{place / 'first'}",
        "--targets",
        "effusion,sex",
        "--replicates",
        50,
    ]
    plain, whole = place / "plain", place / "whole"
    for out, more in ((plain, []), (whole, ["--by", "sex", "--shots", "1"])):
        done = raddino("bench", place / "shards", *words, *more, "--out", out)
        assert done.returncode == 0, done.stderr
    text = card(raddino, place, "--results", plain / "results.json")
    assert "**Not measured.** `raddino bench --by sex,age,view`" in text
    assert "From few images" not in text
    text = card(raddino, place, "--results", whole / "results.json")
    for said in ("| effusion | sex: ", "From few images", "random:first", "none of 60 test identifiers"):
        assert said in text
    found = ModelCard(text).data.eval_results
    assert {result.metric_type for result in found} == {"auroc", "average_precision"}
    assert {result.dataset_name for result in found} == {"shards"}
    assert len(found) == 4


def test_other_files_than_those_of_the_run_are_refused(raddino: Run, place: Path, tmp_path: Path) -> None:
    other = tmp_path / "results.json"
    other.write_text('{"results": {"pixels:32": []}, "data": {"shards": "a"}}')
    (tmp_path / "broken.json").write_text("[]")
    for words, says in (
        ([place / "source"], "found no config.toml"),
        ([place / "first", "--shards", place / "others"], "60 of 60 images"),
        ([place / "first", "--shards", place / "source"], "expected a folder of shards"),
        ([place / "first", "--results", other], "among the encoders, got pixels:32"),
        ([place / "first", "--results", tmp_path / "broken.json"], "results.json of a `raddino bench`"),
    ):
        done = raddino("card", *words, "--out", tmp_path / "card.md")
        assert done.returncode == 1
        assert says in done.stderr
    assert not (tmp_path / "card.md").exists()
