"""`raddino pretrain`: an encoder from images alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    shards: Annotated[Path, typer.Argument(help="Folder of shards; the split train is used.")],
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
) -> None:
    """Train an encoder by self-distillation (DINO + iBOT); run again, it goes on exactly where it stopped.

    With --init the encoder has the shape of those weights; what became of each key is in the run's start.json.

    Example: `raddino pretrain shards --out runs/first --recipe cpu-tiny --set train.steps=500`
    """
    from raddino_cli.work.training import pretrain

    if init_head and not init:
        raise typer.BadParameter("goes with --init, the encoder it belongs to", param_hint="--init-head")
    pretrain(
        shards, out, recipe, overrides or [], init=init, init_head=init_head, processes=processes, stream=stream,
        share=share,
    )  # fmt: skip
    typer.echo(f"encoder in {out / 'encoder'}")
