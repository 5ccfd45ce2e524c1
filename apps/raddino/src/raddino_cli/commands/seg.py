"""`raddino seg`: segmentation on frozen patch tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Segmentation by a linear head on frozen patch tokens.", no_args_is_help=True)
Features = Annotated[Path, typer.Argument(help="Folder that `raddino embed --patches` wrote.")]
Shards = Annotated[Path, typer.Option(help="The shards it was made from, for the masks.")]
Mask = Annotated[str, typer.Option(help="Which mask of the samples.")]
Head = Annotated[Path, typer.Option(help="The head's file.")]


@app.command()
def train(
    features: Features, shards: Shards, head: Head, mask: Mask = "lungs",
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 6,
) -> None:  # fmt: skip
    """Fit the head on the split train, keeping the best epoch on val.

    Example: `raddino seg train features/first --shards shards --head lungs.safetensors`
    """
    from raddino_cli.console import bar
    from raddino_cli.work.segmenting import train_head

    with bar("segmentation") as progress:
        train_head(features, shards, mask, epochs, progress).save(head)
    typer.echo(f"head in {head}")


@app.command()
def evaluate(
    features: Features, shards: Shards, head: Head, mask: Mask = "lungs",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:  # fmt: skip
    """Dice on the split test, with a 95 % interval over patients.

    Example: `raddino seg evaluate features/first --shards shards --head lungs.safetensors`
    """
    from raddino_seg import LinearDecoder

    from raddino_cli.console import print_json, table
    from raddino_cli.work.probing import words
    from raddino_cli.work.segmenting import evaluate_head

    found = evaluate_head(LinearDecoder.load(head), features, shards, mask)
    if as_json:
        print_json(found)
    else:
        table(str(head), ["structure", "Dice (95 % interval)"], [[name, words(score)] for name, score in found.items()])


@app.command()
def predict(
    features: Features, head: Head, out: Annotated[Path, typer.Option(help="Folder for the label maps.")],
    size: Annotated[int, typer.Option(help="Pixels a side of the label maps.")] = 512,
) -> None:  # fmt: skip
    """Label maps of every image of the split test as PNG, named by the sample's key.

    Example: `raddino seg predict features/first --head lungs.safetensors --out predicted`
    """
    from raddino_seg import LinearDecoder

    from raddino_cli.work.segmenting import predict_to

    typer.echo(f"{predict_to(LinearDecoder.load(head), features, out, size)} label maps in {out}")
