"""Work as jobs of SLURM: submitit writes and submits them, and each task of a job is a process of its own.

SIGUSR2 announces that the time is up or that another job comes first: the work saves, and the job is queued again and
goes on from there. SIGTERM alone, as `scancel` sends it, saves and ends. SLURM itself queues the jobs of a
node that failed again; where a process alone was killed, the job ends all of them and queues itself again.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_REQUEUED = 1000  # times that a job may run out of its time
_LOST = 10  # times that a job may lose a process: one that is killed again and again wants more memory, say
_NOTICE_S = 120  # before the end, to finish a step and save


@dataclass(frozen=True)
class Job:
    """What to ask SLURM for; a task a GPU, or `tasks_per_node` of them without."""

    nodes: int = 1
    tasks_per_node: int = 1
    gpus_per_node: int = 0
    cpus_per_task: int = 8
    minutes: int = 24 * 60
    partition: str | None = None
    account: str | None = None

    def submit(self, work: Callable[[], object], name: str, folder: Path, *, after: Sequence[str] = ()) -> str:
        """Queue some work, plain values that submitit pickles; script, logs and pickle are in `folder`.

        Returns the job's id. It begins when the jobs `after` have ended well, and is cancelled when one has not.

        Raises:
            ValueError: no submitit or no SLURM here, or what SLURM says against the job.
        """
        try:
            import submitit
        except ImportError as error:
            raise ValueError("expected submitit for --launcher slurm; pip install 'raddino-cli[slurm]'") from error
        if shutil.which("sbatch") is None:
            raise ValueError("expected SLURM's sbatch for --launcher slurm; run this on a login node of the cluster")
        executor = submitit.SlurmExecutor(folder.absolute(), max_num_timeout=_REQUEUED)
        asked = {
            "partition": self.partition, "account": self.account, "gpus_per_node": self.gpus_per_node or None,
            "dependency": ":".join(["afterok", *after]) if after else None,
        }  # fmt: skip
        executor.update_parameters(
            job_name=name,
            nodes=self.nodes,
            ntasks_per_node=self.tasks_per_node,
            cpus_per_task=self.cpus_per_task,
            time=self.minutes,
            signal_delay_s=_NOTICE_S,
            additional_parameters={"requeue": True, "kill-on-invalid-dep": "yes"},
            srun_args=["--kill-on-bad-exit=1"],
            setup=_come_back_where_killed(folder.absolute()),
            **{name: value for name, value in asked.items() if value is not None},
        )
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # there submitit repeats what the error says
                return str(executor.submit(Task(work)).job_id)
        except submitit.core.utils.FailedJobError as error:
            words = "; ".join(line.removeprefix("sbatch: error: ") for line in str(error).splitlines())
            raise ValueError(f"expected SLURM to take the job: {words}") from error


def queued() -> dict[str, str]:
    """Ids of this user's jobs that wait or run, by name.

    Raises:
        ValueError: no SLURM here, or none that answers.
    """
    try:
        words = ["squeue", "--me", "--noheader", "--format=%i %j"]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError as error:
        raise ValueError("expected SLURM's squeue for --launcher slurm; run this on a login node") from error
    except subprocess.CalledProcessError as error:
        raise ValueError(f"expected SLURM to tell what it has queued: {error.stderr.strip()}") from error
    return {name: number for number, name in (line.split(maxsplit=1) for line in told.splitlines())}


def submit_training(job: Job, out: Path, arguments: dict[str, Any]) -> str:
    """Queue `pretrain(**arguments)`, with script, logs and arguments in `<out>.slurm`; returns the job's id.

    Raises:
        ValueError: what would fail on the nodes when the job's turn has come: no shards, an unknown key, a batch that
            the job's processes can't share; or as `Job.submit`.
    """
    import cxr_io
    import ssl_core

    cxr_io.info(arguments["shards"])
    init, head = arguments["init"], arguments["init_head"]
    fitting = ssl_core.start_overrides(init, head) if init else []
    config = ssl_core.load_config(arguments["recipe"], [*fitting, *arguments["overrides"]])
    ssl_core.check_shares(config, job.nodes * job.tasks_per_node)
    return job.submit(Training(_absolute(arguments)), f"raddino-{out.name}", folder_beside(out))


def folder_beside(out: Path) -> Path:
    """Where the jobs that write `out` have their scripts and logs."""
    return out.with_name(out.name + ".slurm")


@dataclass(frozen=True)
class Task:
    """What a task does; pickled by submitit for the nodes."""

    work: Callable[[], object]

    def __call__(self) -> None:
        """Work; where SIGUSR2 stopped it, queue the job again."""
        from raddino_cli.work.training import STOPPED

        again = False

        def save_and_come_back(_number: int, _frame: FrameType | None) -> None:
            nonlocal again
            again = True
            signal.raise_signal(signal.SIGTERM)

        def leave(_number: int, _frame: FrameType | None) -> None:
            raise SystemExit(STOPPED)  # outside of training: all that is worth saving is saved

        queue_again: Any = signal.signal(signal.SIGUSR2, save_and_come_back)  # submitit's
        signal.signal(signal.SIGTERM, leave)
        try:
            self.work()
        except SystemExit:
            if again:
                queue_again(signal.SIGUSR2, None)
            raise

    def checkpoint(self) -> Any:
        """What submitit runs when the job comes back: the same, which goes on from what was saved."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


@dataclass(frozen=True)
class Training:
    """`pretrain(**arguments)` as one process of a run."""

    arguments: dict[str, Any]

    def __call__(self) -> None:
        """Train, with the others that SLURM has started."""
        import submitit

        from raddino_cli.work.training import pretrain

        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        if os.environ["WORLD_SIZE"] == "1":
            for name in ("RANK", "WORLD_SIZE"):
                del os.environ[name]  # a run of its own
        pretrain(**self.arguments)


def _come_back_where_killed(folder: Path) -> list[str]:
    """Lines of a job's script: where srun tells of a process that was killed, the job is queued again, up to a limit.

    srun's exit code doesn't tell: it is the largest, and a process that SLURM ends for its killed fellow has a larger.
    What outlives its killed fellow for more than ten seconds, SLURM tries to end once more after a minute, by the
    number of its step; so a job that comes back uses up the numbers of the steps that it lost.
    """
    again = f'[ $(killed) -gt $before ] && date >> "$lost" && [ $(wc -l < "$lost") -le {_LOST} ]'
    return [
        f"of={shlex.quote(str(folder))}/$SLURM_JOB_ID",
        'lost="${of}_lost.txt"',
        'exec 2>> "${of}_srun.err"',
        """killed() { grep -c '^srun: error: .*: Killed$' "${of}_srun.err"; }""",
        "before=$(killed)",
        '[ -e "$lost" ] && for _ in $(seq $(wc -l < "$lost")); do srun --nodes=1 --ntasks=1 true; done',
        f"trap '{again} && scontrol requeue $SLURM_JOB_ID' EXIT",
    ]


def _absolute(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same, where a job stands in another folder."""
    found = {name: value.absolute() if isinstance(value, Path) else value for name, value in arguments.items()}
    recipe = Path(arguments["recipe"])
    return found | {"recipe": str(recipe.absolute()) if recipe.is_file() else arguments["recipe"]}
