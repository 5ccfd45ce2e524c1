"""Facts about `raddino ablate`: runs that are shared, resumed and refused, and files that anybody may see."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
TINY = """
title = "Tiny"
question = "Do steps matter, within seconds?"
seeds = [0, 1]

[base]
data.patients = 150
data.size = 64
train.steps = 20
train.batch_size = 16
train.checkpoint_every = 5
crops.global_size = 48
crops.encode_size = 64
evaluate.probes = ["sex", "age"]
evaluate.steps = 10

[[factors]]
name = "learning"
base = "yes"
[factors.levels]
"yes" = {}
"no" = {optim.base_lr = 1e-9}
[[factors.claims]]
text = "learning helps"
level = "no"
on = "lungs"
expect = "worse"
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def done(raddino: Run, tiny: Path) -> Path:
    out = tiny.parent / "out"
    ended = raddino("ablate", tiny, "--out", out, "--replicates", 100)
    assert ended.returncode == 0, ended.stderr
    assert "learning helps: no against yes in lungs (dice)" in ended.stdout
    assert "3 of 4 runs, about 0:00:" in ended.stderr
    return out


def numbers(out: Path) -> object:
    return json.loads((out / "results.json").read_text())["effects"]


@pytest.mark.slow
def test_every_level_has_its_difference_and_no_file_has_a_path(done: Path) -> None:
    effects = json.loads((done / "results.json").read_text())["effects"]
    assert {(e["level"], e["on"]) for e in effects if e["difference"]} == {("no", on) for on in ("sex", "age", "lungs")}
    for effect in effects:
        assert len(effect["value"]["seeds"]) == 2
        assert effect["value"]["low"] < effect["value"]["value"] < effect["value"]["high"]
    page = (done / "results.md").read_text()
    assert "| lungs | dice | no |" in page
    assert "![learning](learning.svg)" in page
    assert r"sex & auroc & " in (done / "results.tex").read_text()
    rows = list(csv.DictReader((done / "results.csv").read_text().splitlines()))
    (row,) = [row for row in rows if (row["model"], row["metric"]) == ("learning=no", "difference in dice")]
    assert float(row["value"]) == next(
        e["difference"]["value"] for e in effects if (e["level"], e["on"]) == ("no", "lungs")
    )
    files = ["results.json", "results.md", "results.tex", "results.csv", "study.toml", "learning.svg", "learning.pdf"]
    for name in files:
        assert str(done.parent).encode() not in (done / name).read_bytes()
    assert len(list((done / "runs").iterdir())) == 4
    assert len(list((done / "data").glob("shards-*/index.json"))) == 1


@pytest.mark.slow
def test_again_it_repeats_nothing_and_another_study_is_refused_with_the_difference(
    done: Path, raddino: Run, tiny: Path, tmp_path: Path
) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in (done / "stages").iterdir()}
    before = numbers(done)
    again = raddino("ablate", done / "study.toml", "--out", done, "--replicates", 100, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["effects"] == before == numbers(done)
    assert {path: path.stat().st_mtime_ns for path in (done / "stages").iterdir()} == stamps
    other = tmp_path / "other.toml"
    other.write_text(TINY.replace("train.steps = 20", "train.steps = 21").replace("1e-9", "1e-8"))
    refused = raddino("ablate", other, "--out", done)
    assert refused.returncode == 1
    assert "base train.steps 20, and now base train.steps is 21" in refused.stderr
    assert "level learning=no {'optim.base_lr': 1e-09}, and now level learning=no is" in refused.stderr


@pytest.mark.slow
def test_killed_in_the_middle_of_a_run_it_ends_with_the_same_numbers(done: Path, raddino: Run, tiny: Path) -> None:
    out = tiny.parent / "killed"
    command = [str(Path(sys.executable).parent / "raddino"), "ablate", str(tiny), "--out", str(out)]
    with subprocess.Popen(
        command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    ) as work:
        until = time.monotonic() + 300
        while len(list(out.glob("runs/*/checkpoints"))) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(work.pid, signal.SIGKILL)  # within the second run, after a checkpoint
    assert len(list(out.glob("stages/train-*"))) == 1
    assert not (out / "results.json").exists()
    ended = raddino("ablate", tiny, "--out", out, "--replicates", 100)
    assert ended.returncode == 0, ended.stderr
    assert "done before" in ended.stderr
    assert numbers(out) == numbers(done)


@pytest.mark.slow
def test_a_budget_is_kept_by_a_folder_and_says_when_it_is_too_small(raddino: Run, tiny: Path, tmp_path: Path) -> None:
    wanting = tmp_path / "wanting.toml"
    wanting.write_text(TINY.replace("[base]", "least_steps = 10\n[base]").replace("steps = 20", "steps = 2000"))
    words = ("ablate", wanting, "--budget", "0.1", "--out", tmp_path / "out", "--replicates", 50, "--json")
    first = raddino(*words)
    assert first.returncode == 0, first.stderr
    results = json.loads(first.stdout)
    assert results["study"]["base"]["train.steps"] < 2000
    assert results["study"]["budget"].startswith("A budget of 0.1 minutes: 2 of 2 seeds")
    again = raddino(*words)
    assert json.loads(again.stdout)["effects"] == results["effects"]
    assert "measuring" not in again.stderr


@pytest.mark.slow
def test_reports_and_a_part_of_the_patients_are_levels_and_one_seed_can_not_tell(raddino: Run, tmp_path: Path) -> None:
    study, out = tmp_path / "text.toml", tmp_path / "out"
    level = '{pretrain.method = "text", text.batch_size = 16, pretrain.share = 0.5}'
    study.write_text(TINY.replace("{optim.base_lr = 1e-9}", level).replace("[0, 1]", "[0]"))
    ended = raddino("ablate", study, "--out", out, "--replicates", 50)
    assert ended.returncode == 0, ended.stderr
    assert "Can't tell whether learning helps" in ended.stdout
    assert "too small to tell effect from noise: one seed" in ended.stdout
    lists = sorted((path.read_text().splitlines() for path in out.glob("runs/*/training.csv")), key=len)
    assert len(lists) == 2
    assert 0.3 < (len(lists[0]) - 2) / (len(lists[1]) - 2) < 0.7
    assert set(lists[0]) < set(lists[1])
    assert len(list(out.glob("runs/*/image-text.json"))) == 1


def test_the_list_has_every_built_in_study(raddino: Run) -> None:
    from raddino_cli.studies.study import built_in

    found = json.loads(raddino("ablate", "list", "--json").stdout)["studies"]
    assert sorted(found) == built_in()
    assert all(found.values())
    assert "scale" in raddino("ablate", "list").stdout
    unknown = raddino("ablate", "nothing")
    assert unknown.returncode == 1
    assert "expected a TOML file or a study of augmentations" in unknown.stderr
