"""Pre-training as a job of SLURM: submitit writes and submits it, and each of its tasks is a process of the run.

SIGUSR2 announces that the time is up or that another job comes first: the run saves, and the job is queued again and
goes on from there. SIGTERM alone, as `scancel` sends it, saves and ends. SLURM itself queues the jobs of a
node that failed again.
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_REQUEUED = 1000  # times that a job may run out of its time
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

    def submit(self, out: Path, arguments: dict[str, Any]) -> str:
        """Queue `pretrain(**arguments)`; its script, logs and arguments are in `<out>.slurm`. Returns the job's id.

        Raises:
            ValueError: no submitit or no SLURM here, or what SLURM says against the job.
        """
        try:
            import submitit
        except ImportError as error:
            raise ValueError("expected submitit for --launcher slurm; pip install 'raddino-cli[slurm]'") from error
        if shutil.which("sbatch") is None:
            raise ValueError("expected SLURM's sbatch for --launcher slurm; run this on a login node of the cluster")
        folder = out.with_name(out.name + ".slurm")
        executor = submitit.SlurmExecutor(folder.absolute(), max_num_timeout=_REQUEUED)
        asked = {"partition": self.partition, "account": self.account, "gpus_per_node": self.gpus_per_node or None}
        executor.update_parameters(
            job_name=f"raddino-{out.name}",
            nodes=self.nodes,
            ntasks_per_node=self.tasks_per_node,
            cpus_per_task=self.cpus_per_task,
            time=self.minutes,
            signal_delay_s=_NOTICE_S,
            additional_parameters={"requeue": True},
            **{name: value for name, value in asked.items() if value is not None},
        )
        try:
            return str(executor.submit(Task(_absolute(arguments))).job_id)
        except submitit.core.utils.FailedJobError as error:
            raise ValueError(f"expected SLURM to take the job: {error}") from error


def check(job: Job, arguments: dict[str, Any]) -> None:
    """Refuse now what would fail on the nodes when the job's turn has come.

    Raises:
        ValueError: no shards, an unknown key, or a batch that the job's processes can't share.
    """
    import cxr_io
    import ssl_core

    cxr_io.info(arguments["shards"])
    init, head = arguments["init"], arguments["init_head"]
    fitting = ssl_core.start_overrides(init, head) if init else []
    config = ssl_core.load_config(arguments["recipe"], [*fitting, *arguments["overrides"]])
    ssl_core.check_shares(config, job.nodes * job.tasks_per_node)


@dataclass(frozen=True)
class Task:
    """What a task does; pickled by submitit for the nodes, so it holds plain values alone."""

    arguments: dict[str, Any]

    def __call__(self) -> None:
        """Train, as one process of the run; where SIGUSR2 stopped it, queue the job again."""
        import submitit

        from raddino_cli.work.training import STOPPED, pretrain

        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        if os.environ["WORLD_SIZE"] == "1":
            for name in ("RANK", "WORLD_SIZE"):
                del os.environ[name]  # a run of its own
        again = False

        def save_and_come_back(_number: int, _frame: FrameType | None) -> None:
            nonlocal again
            again = True
            signal.raise_signal(signal.SIGTERM)

        def leave(_number: int, _frame: FrameType | None) -> None:
            raise SystemExit(STOPPED)  # before the first step there is nothing to save

        queue_again: Any = signal.signal(signal.SIGUSR2, save_and_come_back)  # submitit's
        signal.signal(signal.SIGTERM, leave)
        try:
            pretrain(**self.arguments)
        except SystemExit:
            if again:
                queue_again(signal.SIGUSR2, None)
            raise

    def checkpoint(self) -> Any:
        """What submitit runs when the job comes back: the same, which goes on from the run's checkpoint."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def _absolute(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same, where a job stands in another folder."""
    found = {name: value.absolute() if isinstance(value, Path) else value for name, value in arguments.items()}
    recipe = Path(arguments["recipe"])
    return found | {"recipe": str(recipe.absolute()) if recipe.is_file() else arguments["recipe"]}
