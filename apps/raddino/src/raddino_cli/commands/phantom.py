"""`raddino phantom`: synthetic radiographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    patients: Annotated[int, typer.Option(help="How many patients; a quarter of them have two images.")] = 100,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 512,
    workers: Annotated[int | None, typer.Option(help="Processes (default: one per core).")] = None,
) -> None:
    """Labelled synthetic radiographs as DICOM, with masks, boxes and reports.

    Example: `raddino phantom phantoms --patients 200 --size 512`
    """
    import cxr_phantom

    from raddino_cli.console import bar

    with bar("phantoms") as progress:
        count = cxr_phantom.generate(out, patients=patients, seed=seed, size=size, workers=workers, progress=progress)
    typer.echo(f"{count} images of {patients} patients in {out}")
