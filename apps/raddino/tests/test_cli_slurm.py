"""Facts about `raddino pretrain --launcher slurm`, on a SLURM of this machine alone."""

import getpass
import json
import os
import shutil
import socket
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
CONFIGURATION = """
ClusterName=raddino
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={place}/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=20
SchedulerParameters=sched_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores}
PartitionName=all Nodes={host} Default=YES State=UP OverSubscribe=FORCE:4
"""


def free_ports(count: int) -> list[int]:
    holders = [socket.socket() for _ in range(count)]
    for holder in holders:
        holder.bind(("127.0.0.1", 0))
    found = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return found


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A munged, a slurmctld and a slurmd, on loopback; ended by this fixture, which started them."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "srun", "sbatch") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: Debian's slurm-wlm and munge")
    if os.geteuid():
        pytest.skip("needs root, as slurmd does")
    place = tmp_path_factory.mktemp("slurm")
    place.chmod(0o755)
    for folder in ("state", "spool"):
        (place / folder).mkdir()
    (place / "munge.key").write_bytes(os.urandom(128))
    (place / "munge.key").chmod(0o400)
    words = {"host": socket.gethostname().split(".")[0], "user": getpass.getuser(), "place": place}
    (place / "slurm.conf").write_text(CONFIGURATION.format(**words, ports=free_ports(2), cores=os.cpu_count()))
    environment = {**os.environ, "SLURM_CONF": str(place / "slurm.conf")}
    names = ("socket", "key-file", "pid-file", "log-file", "seed-file")
    files = {"socket": "munge.socket", "key-file": "munge.key"}
    munge = ["munged", "--foreground", "--force", *(f"--{name}={place / files.get(name, name)}" for name in names)]
    started: list[subprocess.Popen[bytes]] = []
    with (place / "output.txt").open("wb") as output:
        try:
            for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", words["host"]]):
                started.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
                time.sleep(1)
            ends = time.monotonic() + 40
            while "idle" not in sinfo(environment):
                if time.monotonic() > ends or any(process.poll() is not None for process in started):
                    logs = "".join(path.read_text()[-800:] for path in place.glob("*.log"))
                    pytest.skip(f"SLURM does not start here: {(place / 'output.txt').read_text()[-500:]} {logs}")
                time.sleep(0.5)
            yield place
        finally:
            for process in reversed(started):
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def sinfo(environment: dict[str, str]) -> str:
    words = ["sinfo", "--noheader", "--format=%t"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout


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
        return [json.loads(row)["step"] for row in log.read_text().splitlines()] if log.exists() else []

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

    def wait_until(self, true: Callable[[], bool], seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < ends, self.told()
            time.sleep(0.1)


@pytest.fixture
def queue(
    slurm: Path, raddino: Run, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Queued]]:
    """A function that submits a run of so many steps, and sees it begin; the job is gone when the test is."""
    for name, value in (("SLURM_CONF", str(slurm / "slurm.conf")), ("GLOO_SOCKET_IFNAME", "lo")):
        monkeypatch.setenv(name, value)
    jobs: list[Queued] = []

    def submit(steps: int) -> Queued:
        words = ["--launcher", "slurm", "--processes", 2, "--cpus-per-process", 1, "--minutes", 60]
        done = raddino("pretrain", shards, "--out", tmp_path / "run", *words, *TINY, f"--set=train.steps={steps}")
        assert done.returncode == 0, done.stderr
        jobs.append(Queued(done.stdout.split(";")[0].removeprefix("job "), tmp_path / "run", slurm))
        jobs[-1].wait_until(lambda: len(jobs[-1].steps) > 5, 120)
        return jobs[-1]

    yield submit
    for job in jobs:
        subprocess.run(["scancel", job.number], check=False, capture_output=True)
        job.wait_until(lambda job=job: job.state() == "", 60)  # type: ignore[misc]


@pytest.mark.slow
def test_a_job_that_is_pre_empted_saves_is_queued_again_and_goes_on(queue: Callable[[int], Queued]) -> None:
    job = queue(300)
    subprocess.run(["scancel", "--signal=USR2", job.number], check=True)  # as SLURM does before it takes a node away
    job.wait_until(lambda: bool(job.saved), 60)
    assert 5 < min(job.saved) < 300
    job.wait_until(lambda: f"Requeued job {job.number}" in job.told(), 30)
    job.wait_until(lambda: (job.run / "encoder" / "model.safetensors").exists(), 150)
    assert job.steps == list(range(1, 301))


@pytest.mark.slow
def test_a_job_that_is_cancelled_saves_and_is_not_queued_again(queue: Callable[[int], Queued]) -> None:
    job = queue(5000)
    subprocess.run(["scancel", job.number], check=True)
    job.wait_until(lambda: job.state() == "", 60)
    assert 5 < min(job.saved) < 5000
    assert "Requeued" not in job.told()


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
