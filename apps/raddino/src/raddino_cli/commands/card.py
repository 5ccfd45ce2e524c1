"""`raddino card`: a run as a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(help="Folder that `raddino pretrain` wrote.")],
    shards: Annotated[
        Path | None, typer.Option(help="The shards it was trained on, for counts by sex, age and view.")
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="results.json of a `raddino bench` of the run; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the model is called (default: the run's folder).")] = None,
    licence: Annotated[str | None, typer.Option("--license", help="License of the weights, as `apache-2.0`.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write (default: README.md beside the encoder).")] = None,
) -> None:
    """A model card as the Hugging Face Hub reads it, from what a run and its benches left on disk.

    What no file tells is said to be unknown, and an evaluation that is missing is named. No path is in the card.

    Example: `raddino card runs/first --shards shards --results runs/bench/results.json --license apache-2.0`
    """
    from raddino_cli.work.card import write_card

    place = out or run / "encoder" / "README.md"
    write_card(run, place, shards=shards, results=results or (), name=name, licence=licence)
    typer.echo(f"card in {place}")
