"""`raddino seg`: segmentation on patch tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Segmentation on patch tokens, frozen or not, and by a U-Net.", no_args_is_help=True)
Features = Annotated[Path, typer.Argument(help="Folder that `raddino embed --patches` wrote.")]
Shards = Annotated[Path, typer.Option(help="The shards it was made from, for the masks.")]
Mask = Annotated[
    list[str] | None,
    typer.Option(help="A mask of the samples, or MASK:STRUCTURE; several may overlap (default: lungs)."),
]
Head = Annotated[Path, typer.Option(help="The model's file.")]
Size = Annotated[int, typer.Option(min=8, help="Pixels a side of the masks that are learnt and scored.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def train(
    features: Features, shards: Shards, head: Head, mask: Mask = None,
    decoder: Annotated[str, typer.Option(help="linear, pyramid, upernet, dpt, or unet (on the images).")] = "linear",
    layers: Annotated[int, typer.Option(min=1, help="Patch tokens of so many layers, evenly spaced.")] = 1,
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
    --decoder upernet --epochs 20`,
    `raddino seg train features/first --shards shards --head tubes.safetensors --mask devices:chest_tube --balance
    --loss bce+cldice`
    """
    from raddino_seg import Training

    from raddino_cli.console import bar
    from raddino_cli.work.segmenting import Plan, train_model

    training = Training(epochs, batch_size, learning_rate, loss=loss, balance=balance, seed=seed)
    plan = Plan(decoder, tuple(mask or ("lungs",)), size, layers, unfreeze, augment, training)
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
    page: Annotated[Path | None, typer.Option(help="HTML file to write, with masks over radiographs.")] = None,
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
    seen: list[Any] = []
    found = evaluate_model(
        model, features, shards, names, size=size, metrics=metric, replicates=replicates,
        show=(lambda *parts: seen.extend(parts)) if page else None,
    )  # fmt: skip
    others = [name for name in METRICS if name in found["mean"]]
    rows = [[name, *(words(part) for part in _parts(score, others))] for name, score in found.items()]
    columns = ["structure", "Dice", "of the mean mask", *others]
    if page:
        from raddino_cli.overlays import write_page

        write_page(page, f"{head.name} on {features.name}", columns, rows, model.classes, tuple(seen))
    if as_json:
        print_json(found)
    else:
        table(f"{head}: value (95 % interval)", columns, rows)


@app.command()
def predict(
    features: Features, head: Head, out: Annotated[Path, typer.Option(help="Folder for the masks.")],
    source: Annotated[
        Path | None, typer.Option(help="A radiograph or a folder of them (default: the features' split test).")
    ] = None,
    form: Annotated[
        list[str] | None, typer.Option("--format", help="With --source: png, nifti or dicom; may be repeated.")
    ] = None,
    tiles: Annotated[int, typer.Option(min=1, help="With --source: windows along the short side.")] = 1,
    size: Annotated[int, typer.Option(help="Without --source: pixels a side of the masks.")] = 512,
) -> None:  # fmt: skip
    """Masks as files. Radiographs of --source keep their size and spacing; run again after a stop, it goes on.

    Examples:
    `raddino seg predict features/first --head lungs.safetensors --out predicted`,
    `raddino seg predict features/first --head lungs.safetensors --source archive --out predicted --format dicom`
    """
    from raddino_cli.console import bar
    from raddino_cli.work.predicting import predict_files, predict_split

    if source is None:
        typer.echo(f"masks of {predict_split(head, features, out, size)} images in {out}")
        return
    with bar("predict") as progress:
        done, bad = predict_files(head, features, source, out, forms=form or ["png"], tiles=tiles, progress=progress)
    typer.echo(f"masks of {done} images in {out}")
    if bad:
        typer.echo(f"{bad} files have none", err=True)
        raise typer.Exit(1)


@app.command("few-shot")
def few_shot(
    features: Features, shards: Shards,
    out: Annotated[Path, typer.Option(help="Folder of the study; what is in it is not done again.")],
    mask: Mask = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="mean-mask, propagate (nearest tokens, no training), linear, pyramid, upernet, dpt or unet; may be "
            "repeated (default: mean-mask, propagate, linear, upernet, unet)."
        ),
    ] = None,
    shots: Annotated[str, typer.Option(help="Numbers of annotated images.")] = "1,5,20,100,all",
    draws: Annotated[int, typer.Option(help="Of each number.")] = 3,
    steps: Annotated[int, typer.Option(help="Of each fit.")] = 300,
    batch_size: Annotated[int, typer.Option(help="Images a step, at most.")] = 16,
    size: Size = 128,
    seed: Annotated[int, typer.Option(help="Of draws and weights.")] = 0,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 1000,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Dice on the split test after learning from few images, frozen tokens against a U-Net on the same ones.

    Example: `raddino seg few-shot features/first --shards shards --out runs/few --shots 1,5,all`
    """
    from raddino_cli.console import bar, print_json, table
    from raddino_cli.work.probing import words
    from raddino_cli.work.shots import Study, few_shot, words_of

    chosen = {"methods": tuple(method)} if method else {}
    study = Study(
        **chosen, masks=tuple(mask or ("lungs",)), shots=words_of(shots.split(",")), draws=draws, steps=steps,
        batch_size=batch_size, size=size, seed=seed,
    )  # fmt: skip
    with bar("few-shot") as progress:
        found = few_shot(features, shards, out, study, replicates=replicates, progress=progress)
    if as_json:
        print_json({"rows": found})
        return
    rows = [[row["method"], str(row["shots"]), str(row["draws"]), words(row["scores"]["mean"])] for row in found]
    table(str(features), ["method", "images", "draws", "Dice (95 % interval)"], rows)


def _parts(score: dict[str, Any], others: list[str]) -> list[dict[str, Any]]:
    return [score, score["mean_mask"], *(score[name] for name in others)]
