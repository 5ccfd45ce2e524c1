"""`raddino embed`: frozen features of every image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    shards: Annotated[Path, typer.Argument(help="Folder of shards.")],
    encoder: Annotated[
        str, typer.Option(help="A run, a transformers folder, timm:NAME, random:RUN or pixels:N (N x N grey values).")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    patches: Annotated[bool, typer.Option("--patches", help="Keep patch tokens too (seg needs them).")] = False,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 32,
) -> None:
    """Class tokens, and patch tokens if asked for, of every image of every split.

    Example: `raddino embed shards --encoder runs/first --out features/first --patches`
    """
    from raddino_cli.console import bar
    from raddino_cli.work.features import embed

    with bar("embed") as progress:
        count = embed(shards, encoder, out, patches=patches, batch_size=batch_size, progress=progress)
    typer.echo(f"features of {count} images in {out}")
