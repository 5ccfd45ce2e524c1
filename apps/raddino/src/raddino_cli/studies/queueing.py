"""A study as jobs of SLURM: one makes the data, one each encoder with its runs, and the last says what they found.

Nothing here waits. Jobs find each other by their dependencies and what was done by its stamps, so that the same command
submits what is missing whenever it comes, and the queue alone knows what is under way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from raddino_cli.studies.ablating import ablate, open_folder
from raddino_cli.studies.running import has_data, make_data, run_encoder, unfinished
from raddino_cli.studies.runs import expand
from raddino_cli.studies.study import Study
from raddino_cli.work.slurm import Job, folder_beside, queued
from raddino_cli.work.stages import named

_DATA, _TABLE = "data", "table"


@dataclass(frozen=True)
class Queue:
    """Where a study stands: how many encoders are finished, and jobs by what they are for."""

    finished: int
    under_way: dict[str, str]
    submitted: dict[str, str]

    @property
    def empty(self) -> bool:
        """Whether nothing is under way any more."""
        return not self.under_way and not self.submitted


@dataclass(frozen=True)
class Part:
    """A job of a study: its data, the runs of an encoder by its name, or its table; pickled for the nodes."""

    name: str
    study: Study
    out: Path
    workers: int
    replicates: int

    def __call__(self) -> None:
        """Do what of it is not done yet."""
        if self.name == _TABLE:
            ablate(self.study, self.out, workers=self.workers, replicates=self.replicates)
            return
        stages = open_folder(self.study, self.out)
        if self.name == _DATA:
            make_data(self.study, stages, workers=self.workers)
        else:
            run_encoder(self.name, self.study, stages)


def queue(
    study: Study, out: Path, job: Job, *, workers: int | None = None, replicates: int = 1000, fresh: bool = False
) -> Queue:
    """Submit what is neither done nor under way: nothing, once all encoders are finished.

    Each encoder has one `job`, the data and the table one without GPUs. A job that fails takes those with it that wait
    for it, so the table comes with what is submitted next.

    Raises:
        ValueError: jobs that `fresh` would take the folder from; or as `open_folder` and `Job.submit`.
    """
    under_way = _under_way(out)
    if fresh and under_way:
        words = " ".join(under_way.values())
        raise ValueError(f"expected no job of {out} under way with --fresh: scancel {words}, or leave out --fresh")
    open_folder(study, out, fresh=fresh)
    left = unfinished(study, out)
    finished = len({run.name for run in expand(study)}) - len(left)
    jobs: dict[str, str] = {}

    def submit(name: str, asked: Job, after: list[str]) -> None:
        part = Part(name, study, out.absolute(), workers or job.cpus_per_task, replicates)
        jobs[name] = asked.submit(part, f"{_prefix(out)}{name}", folder_beside(out), after=after)

    plain = replace(job, gpus_per_node=0)
    if _DATA not in under_way and not has_data(study, out):
        submit(_DATA, plain, [])
    data = [number for name, number in (under_way | jobs).items() if name == _DATA]
    for name in left:
        if name not in under_way:
            submit(name, job, data)
    if jobs or (left and _TABLE not in under_way):
        submit(_TABLE, plain, [number for name, number in (under_way | jobs).items() if name != _TABLE])
    return Queue(finished, under_way, jobs)


def _prefix(out: Path) -> str:
    return f"raddino-{named(out.name, str(out.absolute()))}."


def _under_way(out: Path) -> dict[str, str]:
    """Ids of the study's jobs, by what they are for."""
    start = _prefix(out)
    return {name.removeprefix(start): number for name, number in queued().items() if name.startswith(start)}
