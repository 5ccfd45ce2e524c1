"""Facts about `raddino pretrain --launcher slurm`, on a SLURM of this machine alone."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
TINY = [
    f"--set={setting}"
    for setting in (
        "model.embed_dim=32", "model.depth=1", "model.num_heads=2", "head.prototypes=32", "head.hidden=32",
        "head.bottleneck=16", "crops.global_size=32", "crops.local_size=16", "crops.encode_size=32",
        "train.batch_size=4", "train.log_every=1", "train.checkpoint_every=1000",
    )
]  # fmt: skip


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    rows = ["path,split"]
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 65535, (64, 64), np.uint16)
        cv2.imwrite(str(tmp_path / "source" / f"{i}.png"), pixels)
        rows.append(f"{i}.png,train")
    (tmp_path / "source" / "labels.csv").write_text("\n".join(rows) + "\n")
    cxr_io.ingest(tmp_path / "source", tmp_path / "shards", short_side=48, workers=0, key="sixteen characters or more")
    return tmp_path / "shards"


@dataclass
class Queued:
    """A job, the folder of its run, and what it has logged."""

    number: str
    run: Path
    slurm: Path

    @property
    def steps(self) -> list[int]:
        log = self.run / "metrics.jsonl"
        whole = log.read_text().split("\n")[:-1] if log.exists() else []  # the last may be under way
        return [json.loads(row)["step"] for row in whole]

    @property
    def saved(self) -> list[int]:
        return [int(path.stem.removeprefix("step-")) for path in (self.run / "checkpoints").glob("step-*")]

    def told(self) -> str:
        files = sorted(self.run.with_name("run.slurm").glob("*.err"))
        files += sorted(self.run.with_name("run.slurm").glob("*.out"))
        return "".join(path.read_text() for path in [*files, self.slurm / "slurmctld.log"])

    def state(self) -> str:
        words = ["squeue", "--noheader", "--format=%t", f"--jobs={self.number}"]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()

    def kill(self, rank: int) -> None:
        """End a process of the run at once, as a machine that wants memory does."""
        wanted = {f"SLURM_JOB_ID={self.number}".encode(), f"SLURM_PROCID={rank}".encode()}
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if wanted <= set(path.read_bytes().split(b"\0")):
                    os.kill(int(path.parent.name), signal.SIGKILL)

    def wait_until(self, true: Callable[[], bool], seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < ends, self.told()
            time.sleep(0.1)


@pytest.fixture
def queue(
    slurm: Path, raddino: Run, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Queued]]:
    """A function that submits a run of so many steps and sees it begin; the job is gone when the test is."""
    for name, value in (("SLURM_CONF", str(slurm / "slurm.conf")), ("GLOO_SOCKET_IFNAME", "lo")):
        monkeypatch.setenv(name, value)
    jobs: list[Queued] = []

    def submit(steps: int, *more: str) -> Queued:
        words = ["--launcher", "slurm", "--processes", 2, "--cpus-per-process", 1, "--minutes", 60]
        done = raddino(
            "pretrain", shards, "--out", tmp_path / "run", *words, *TINY, f"--set=train.steps={steps}", *more
        )
        assert done.returncode == 0, done.stderr
        jobs.append(Queued(done.stdout.split(";")[0].removeprefix("job "), tmp_path / "run", slurm))
        jobs[-1].wait_until(lambda: len(jobs[-1].steps) > 5, 240)
        return jobs[-1]

    yield submit
    for job in jobs:
        subprocess.run(["scancel", job.number], check=False, capture_output=True)
        job.wait_until(lambda job=job: job.state() == "", 60)  # type: ignore[misc]


@pytest.mark.slow
def test_a_job_that_is_pre_empted_saves_is_queued_again_and_goes_on(queue: Callable[[int], Queued]) -> None:
    job = queue(300)
    subprocess.run(["scancel", "--signal=USR2", job.number], check=True)  # as SLURM does before it takes a node away
    job.wait_until(lambda: bool(job.saved), 120)
    assert 5 < min(job.saved) < 300
    job.wait_until(lambda: f"Requeuing JobId={job.number}" in job.told(), 30)
    job.wait_until(lambda: (job.run / "encoder" / "model.safetensors").exists(), 250)
    assert job.steps == list(range(1, 301))


@pytest.mark.slow
def test_a_job_that_is_cancelled_saves_and_is_not_queued_again(queue: Callable[[int], Queued]) -> None:
    job = queue(5000)
    subprocess.run(["scancel", job.number], check=True)
    job.wait_until(lambda: job.state() == "", 60)
    assert 5 < min(job.saved) < 5000
    assert f"Requeuing JobId={job.number}" not in job.told()


@pytest.mark.slow
def test_a_job_that_loses_a_process_ends_is_queued_again_and_goes_on(queue: Callable[..., Queued]) -> None:
    job = queue(100, "--set=train.checkpoint_every=10")
    job.wait_until(lambda: bool(job.saved), 120)
    job.kill(rank=1)
    job.wait_until((job.run.with_name("run.slurm") / f"{job.number}_lost.txt").exists, 120)
    assert not (job.run / "encoder").exists()
    job.wait_until(lambda: (job.run / "encoder" / "model.safetensors").exists(), 250)
    assert job.steps == list(range(1, 101))
    assert f"StepId={job.number}.1" in (job.slurm / "slurmd.log").read_text()  # a number that the lost one did not have


def test_what_slurm_refuses_is_one_line(
    slurm: Path, raddino: Run, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm / "slurm.conf"))
    words = ["pretrain", shards, "--out", tmp_path / "run", "--launcher", "slurm", "--cpus-per-process", 1, *TINY]
    for more, expected in (
        (["--partition", "nowhere"], "invalid partition specified: nowhere"),
        (["--gpus-per-node", 1], "generic resource"),
    ):
        done = raddino(*words, *more)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "expected SLURM to take the job: " in done.stderr
        assert expected in done.stderr


def test_what_would_fail_on_the_nodes_is_told_before(
    raddino: Run, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["pretrain", shards, "--out", tmp_path / "run", "--launcher", "slurm", *TINY]
    for more, expected in (
        ([], "expected SLURM's sbatch"),
        (["--nodes", 3], "multiple of the 3 processes"),
        (["--set=train.stepps=3"], "nearest valid: train.steps"),
    ):
        done = raddino(*words, *more)
        assert done.returncode == 1
        assert expected in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert raddino(*words[:4], "--launcher", "pbs").returncode == 2
