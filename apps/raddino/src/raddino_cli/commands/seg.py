"""`raddino seg`: segmentation on patch tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Segmentation on patch tokens, frozen or not, and by a U-Net.", no_args_is_help=True)
Features = Annotated[Path, typer.Argument(help="Folder that `raddino embed --patches` wrote.")]
Shards = Annotated[Path, typer.Option(help="The shards it was made from, for the masks.")]
Mask = Annotated[
    list[str] | None, typer.Option(help="Which mask of the samples; several may overlap (default: lungs).")
]
Head = Annotated[Path, typer.Option(help="The model's file.")]
Size = Annotated[int, typer.Option(min=8, help="Pixels a side of the masks that are learnt and scored.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def train(
    features: Features, shards: Shards, head: Head, mask: Mask = None,
    decoder: Annotated[str, typer.Option(help="linear, pyramid, upernet, dpt, or unet (on the images).")] = "linear",
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 6,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32,
    learning_rate: Annotated[float | None, typer.Option(help="At the start (default: what suits the decoder).")] = None,
    loss: Annotated[
        str, typer.Option(help="Of ce, bce, focal, dice, tversky, cldice, joined by + (default: ce+dice, bce+dice).")
    ] = "",
    balance: Annotated[bool, typer.Option("--balance", help="Weigh rare structures more, such as tubes.")] = False,
    augment: Annotated[
        bool, typer.Option("--augment", help="Turn, zoom and shift the images, and encode them in every epoch.")
    ] = False,
    unfreeze: Annotated[bool, typer.Option("--unfreeze", help="Train the encoder as well.")] = False,
    size: Size = 128,
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0,
) -> None:  # fmt: skip
    """Fit a model on the split train, keeping the best epoch on val; run again after a stop, it goes on.

    Examples:
    `raddino seg train features/first --shards shards --head lungs.safetensors`,
    `raddino seg train features/first --shards shards --head ribs.safetensors --mask ribs_left --mask ribs_right
    --decoder upernet --epochs 20`
    """
    from raddino_seg import Training

    from raddino_cli.console import bar
    from raddino_cli.work.segmenting import Plan, train_model

    training = Training(epochs, batch_size, learning_rate, loss=loss, balance=balance, seed=seed)
    plan = Plan(decoder, tuple(mask or ("lungs",)), size, unfreeze, augment, training)
    checkpoint = head.with_name(head.name + ".checkpoint")
    with bar("segmentation") as progress:
        train_model(features, shards, plan, checkpoint=checkpoint, progress=progress).save(head)
    checkpoint.unlink()
    typer.echo(f"model in {head}")


@app.command()
def evaluate(
    features: Features, shards: Shards, head: Head, mask: Mask = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Beside dice: iou, hd95, assd (mm), sensitivity; may be repeated (default: all)."),
    ] = None,
    size: Size = 128,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 1000,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Scores on the split test with 95 % intervals over patients, beside the Dice of the mean training mask.

    Example: `raddino seg evaluate features/first --shards shards --head lungs.safetensors`
    """
    from raddino_seg import METRICS

    from raddino_cli.console import print_json, table
    from raddino_cli.work.features import load_features
    from raddino_cli.work.probing import words
    from raddino_cli.work.segmenting import evaluate_model, load_model

    model = load_model(head, load_features(features))
    names = tuple(mask or ("lungs",))
    found = evaluate_model(model, features, shards, names, size=size, metrics=metric, replicates=replicates)
    if as_json:
        print_json(found)
        return
    others = [name for name in METRICS if name in found["mean"]]
    rows = [[name, *(words(part) for part in _parts(score, others))] for name, score in found.items()]
    table(f"{head}: value (95 % interval)", ["structure", "Dice", "of the mean mask", *others], rows)


@app.command()
def predict(
    features: Features, head: Head, out: Annotated[Path, typer.Option(help="Folder for the masks.")],
    size: Annotated[int, typer.Option(help="Pixels a side of the masks.")] = 512,
) -> None:  # fmt: skip
    """Masks of every image of the split test as PNG, named by the sample's key.

    Example: `raddino seg predict features/first --head lungs.safetensors --out predicted`
    """
    from raddino_cli.work.features import load_features
    from raddino_cli.work.predicting import predict_to
    from raddino_cli.work.segmenting import load_model

    typer.echo(f"{predict_to(load_model(head, load_features(features)), features, out, size)} label maps in {out}")


def _parts(score: dict[str, Any], others: list[str]) -> list[dict[str, Any]]:
    return [score, score["mean_mask"], *(score[name] for name in others)]
