"""Options of the commands that may run as jobs of a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

Launcher = Annotated[str, typer.Option(help="local: now and here; slurm: as a job of the cluster.")]
Minutes = Annotated[
    int, typer.Option(min=1, help="SLURM: time limit; a job that meets it is queued again and goes on.")
]
CpusPerProcess = Annotated[int, typer.Option(min=1, help="SLURM: cores of a process.")]
Partition = Annotated[str | None, typer.Option(help="SLURM: partition.")]
Account = Annotated[str | None, typer.Option(help="SLURM: account.")]


def check_launcher(launcher: str) -> None:
    """Refuse a launcher that there isn't."""
    if launcher not in ("local", "slurm"):
        raise typer.BadParameter(f"expected local or slurm, got {launcher!r}", param_hint="--launcher")
