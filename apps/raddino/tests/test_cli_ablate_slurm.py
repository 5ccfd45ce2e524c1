"""Facts about `raddino ablate --launcher slurm`, on a SLURM of this machine alone."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
TINY = """
title = "Tiny"
question = "Does learning matter, within seconds?"
seeds = [0]

[base]
data.patients = 100
data.size = 48
train.steps = 15
train.batch_size = 8
crops.global_size = 32
crops.encode_size = 48
evaluate.probes = ["sex", "age"]
evaluate.masks = []

[[factors]]
name = "learning"
base = "yes"
[factors.levels]
"yes" = {}
"no" = {optim.base_lr = 1e-9}
"""


@pytest.fixture
def words(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """A small study and its folder; no job is left when the test is over."""
    (tmp_path / "tiny.toml").write_text(TINY)
    for name, value in (("SLURM_CONF", str(slurm / "slurm.conf")), ("OMP_NUM_THREADS", "1")):
        monkeypatch.setenv(name, value)
    yield ["ablate", tmp_path / "tiny.toml", "--replicates", 50, "--out"]
    subprocess.run(["scancel", "--me"], check=False, capture_output=True)
    wait_until(lambda: not squeue(), 60, slurm)


def squeue() -> str:
    return subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout


def wait_until(true: Callable[[], object], seconds: float, place: Path) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "".join(path.read_text() for path in place.glob("*.[eol][ruo][rtg]"))
        time.sleep(0.1)


@pytest.mark.slow
def test_a_study_of_jobs_submits_what_is_missing_and_has_the_numbers_of_a_local_run(
    raddino: Run, words: list[Any], tmp_path: Path
) -> None:
    out, logs = tmp_path / "out", tmp_path / "out.slurm"
    slurm = [*words, out, "--launcher", "slurm", "--cpus-per-process", 1, "--minutes", 60]

    def submit() -> dict[str, Any]:
        done = raddino(*slurm, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    first = submit()["submitted"]
    data, *encoders, table = first
    assert (data, len(encoders), table) == ("data", 2, "table")
    assert submit() == {"finished": 0, "under_way": first, "submitted": {}}
    refused = raddino(*slurm, "--fresh")
    assert refused.returncode == 1
    assert "scancel" in refused.stderr
    subprocess.run(["scancel", first[encoders[0]]], check=True)  # and the table can't be made
    wait_until(lambda: not squeue(), 250, logs)
    assert not (out / "results.json").exists()
    again = submit()
    assert (again["finished"], list(again["submitted"])) == (1, [encoders[0], "table"])
    wait_until(lambda: not squeue(), 250, logs)
    results = json.loads((out / "results.json").read_text())
    # Not by the fixture, whose processes have as many threads as the tests.
    command = [str(Path(sys.executable).parent / "raddino"), *map(str, words), str(tmp_path / "here")]
    plain = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    here = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
    assert here.returncode == 0, here.stderr
    assert results == json.loads((tmp_path / "here" / "results.json").read_text())
    assert raddino(*slurm).stdout.replace("/out/", "/here/") == here.stdout  # all is finished: the table


def test_without_slurm_or_with_a_budget_it_says_so(
    raddino: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = raddino("ablate", "objective", "--out", tmp_path / "out", "--launcher", "slurm")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "expected SLURM's squeue" in missing.stderr
    assert not (tmp_path / "out").exists()
    both = raddino("ablate", "objective", "--launcher", "slurm", "--budget", 60)
    assert both.returncode == 2
    assert "measures this machine" in both.stderr
