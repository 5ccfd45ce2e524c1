"""`raddino pretrain`: an encoder from images alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from raddino_cli.commands.launching import Account, CpusPerProcess, Launcher, Minutes, Partition, check_launcher
from raddino_cli.console import place_of


def command(
    shards: Annotated[str, typer.Argument(help="Folder of shards, or their URL; the split train is used.")],
    out: Annotated[Path, typer.Option(help="Run folder to write, or to go on with.")],
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a TOML file.")] = "cpu-tiny",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override, as `train.steps=1000`; may be repeated.")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Weights to start from: a run, a folder of transformers or timm, dinov2's .pth, safetensors."
        ),
    ] = None,
    init_head: Annotated[
        Path | None,
        typer.Option(help="A DINO head to start from, such as RAD-DINO's; else one with the weights, or new."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that share a batch (default: one per GPU, else one).")
    ] = None,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the patients of train; a larger share holds every smaller one.")
    ] = 1.0,
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--in-memory", help="Read images as they are needed (default: where they fill memory)."),
    ] = None,
    launcher: Launcher = "local",
    nodes: Annotated[int, typer.Option(min=1, help="SLURM: machines.")] = 1,
    gpus_per_node: Annotated[
        int, typer.Option(min=0, help="SLURM: GPUs of a machine, a process each; without, --processes of them.")
    ] = 0,
    cpus_per_process: CpusPerProcess = 8,
    minutes: Minutes = 1440,
    partition: Partition = None,
    account: Account = None,
) -> None:
    """Train an encoder by self-distillation (DINO + iBOT); run again, it goes on exactly where it stopped.

    With --init the encoder has the shape of those weights; what became of each key is in the run's start.json.

    Examples: `raddino pretrain shards --out runs/first --recipe cpu-tiny --set train.steps=500`,
    `raddino pretrain shards --out runs/large --launcher slurm --nodes 8 --gpus-per-node 8 --minutes 1440`
    """
    if init_head and not init:
        raise typer.BadParameter("goes with --init, the encoder it belongs to", param_hint="--init-head")
    check_launcher(launcher)
    from raddino_cli.work.images import Chosen

    asked: dict[str, Any] = {
        "shards": place_of(shards), "out": out, "recipe": recipe, "overrides": overrides or [], "init": init,
        "init_head": init_head, "stream": stream, "chosen": Chosen(share),
    }  # fmt: skip
    if launcher == "slurm":
        from raddino_cli.work.slurm import Job, folder_beside, submit_training

        job = Job(nodes, gpus_per_node or processes or 1, gpus_per_node, cpus_per_process, minutes, partition, account)
        typer.echo(f"job {submit_training(job, out, asked)}; its logs are in {folder_beside(out)}")
        return
    from raddino_cli.work.training import pretrain

    pretrain(**asked, processes=processes)
    typer.echo(f"encoder in {out / 'encoder'}")
