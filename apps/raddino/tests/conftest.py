"""How the tests call the command: as a process of its own. And a SLURM of this machine alone.

To import torch takes seconds, so each process is forked from one that has imported what commands need, and done nothing
else. Tests that send signals start the installed script.
"""

import getpass
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
IMPORTED = [
    "cxr_io",
    "raddino_cli.main",
    "raddino_encoders",
    "raddino_probes",
    "raddino_reportgen",
    "raddino_seg",
    "ssl_core",
]
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


def command(words: list[str], cwd: Path | None, environment: Mapping[str, str], out: Path, err: Path) -> None:
    """In the new process: become `raddino WORDS`."""
    from raddino_cli.main import main

    os.environ.clear()
    os.environ.update(environment)
    if cwd is not None:
        os.chdir(cwd)
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
    sys.argv = ["raddino", *words]
    main()


@pytest.fixture(scope="session")
def raddino(tmp_path_factory: pytest.TempPathFactory) -> Run:
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload(IMPORTED)
    place = tmp_path_factory.mktemp("streams")

    def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
        out, err = place / "out", place / "err"
        for stream in (out, err):
            stream.unlink(missing_ok=True)
        line = list(map(str, words))
        process = started.Process(target=command, args=(line, cwd, environment, out, err))
        process.start()
        process.join()
        return subprocess.CompletedProcess(line, process.exitcode or 0, out.read_text(), err.read_text())

    return run


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
