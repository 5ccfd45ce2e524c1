"""`raddino demo`: the whole way, from files to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[
        Path | None, typer.Option(help="Your own images (DICOM, PNG, JPEG; searched recursively) in place of phantoms.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="CSV of labels for --source, with a column `path`.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("runs/demo"),
    patients: Annotated[int, typer.Option(help="Synthetic patients.")] = 3000,
    size: Annotated[int, typer.Option(help="Pixels of the short side in the shards.")] = 128,
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a TOML file.")] = "cpu-tiny",
    steps: Annotated[int | None, typer.Option(help="Training steps (default: the recipe's).")] = None,
    seed: Annotated[int, typer.Option(help="Of phantoms and training.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes for reading (default: one per core).")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier demo left in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json on stdout.")] = False,
) -> None:
    """The whole pipeline: images, shards, pre-training, probes, segmentation, reports, and a page about it.

    Needs no data: without --source it makes labelled synthetic radiographs. Stopped anywhere, it goes on when started
    again.

    Examples: `raddino demo` or `raddino demo --source archive --steps 100 --out runs/mine`
    """
    from raddino_cli.console import print_json, table
    from raddino_cli.work.demo import Settings, run
    from raddino_cli.work.probing import words

    settings = Settings(
        source=str(source.resolve()) if source else None,
        labels=str(labels.resolve()) if labels else None,
        patients=patients,
        size=size,
        recipe=recipe,
        steps=steps,
        seed=seed,
    )
    results = run(settings, out, workers=workers, fresh=fresh)
    if as_json:
        print_json(results)
        return
    names = list(results["encoders"])
    rows = [
        [target, *(words(results["probes"][name][target]) for name in names)]
        for target in next(iter(results["probes"].values()), {})
    ]
    if "mean" in next(iter(results["segmentation"].values()), {}):
        rows.append(["lungs (Dice)", *(words(results["segmentation"][name]["mean"]) for name in names)])
    if rows:
        table("AUROC; MAE for age and BMI", ["", *names], rows)
    for sentence in results["skipped"].values():
        typer.echo(sentence)
    typer.echo(f"report: {out / 'report.html'}")
