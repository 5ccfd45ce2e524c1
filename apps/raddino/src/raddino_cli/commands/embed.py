"""`raddino embed`: frozen features of every image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    shards: Annotated[str, typer.Argument(help="Folder of shards, or their URL.")],
    encoder: Annotated[
        str,
        typer.Option(
            help="A run, a transformers folder or id, timm:NAME@WEIGHTS, biovil-t:, mrm:, xrv: or lite0:WEIGHTS, "
            "random:RUN, hog:N, or pixels:N (N x N grey values)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    patches: Annotated[bool, typer.Option("--patches", help="Keep patch tokens too (seg needs them).")] = False,
    layers: Annotated[int, typer.Option(min=1, help="Class tokens of so many of the last layers.")] = 1,
    grid: Annotated[
        int, typer.Option(min=0, help="Patch tokens averaged in so many cells a side, for probes of where things are.")
    ] = 0,
    fit: Annotated[
        str, typer.Option(help="released (as the encoder's authors did), letterbox (whole image), crop or stretch.")
    ] = "released",
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="Pixels a side that the encoder sees (default: its own); more give more tokens."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images at a time (default: 32, fewer of large ones on a CPU).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    dtype: Annotated[
        str, typer.Option(help="auto (bfloat16 where the device has it), float32, bfloat16 or float16.")
    ] = "auto",
    executor: Annotated[str, typer.Option(help="local: this process; ray: a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster (default: the one that runs here, else a new one).")
    ] = None,
) -> None:
    """Class tokens, and patch tokens if asked for, of every image of every split; run again, it goes on.

    Examples:
    `raddino embed shards --encoder runs/first --out features/first --patches`,
    `raddino embed shards --encoder microsoft/rad-dino --out features/rad-dino --layers 4`
    """
    from raddino_cli.console import bar, place_of
    from raddino_cli.work.embedding import embed

    with bar("embed") as progress:
        count = embed(
            place_of(shards), encoder, out, patches=patches, layers=layers, grid=grid, fit=fit, batch_size=batch_size,
            device=device, dtype=dtype, image_size=image_size, executor=executor, address=address, progress=progress,
        )  # fmt: skip
    typer.echo(f"features of {count} images in {out}")
