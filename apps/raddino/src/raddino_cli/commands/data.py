"""`raddino data`: archives into shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Archives into shards, and what the shards hold.", no_args_is_help=True)
Shards = Annotated[Path, typer.Argument(help="Folder of shards.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def ingest(
    source: Annotated[Path, typer.Argument(help="Folder of DICOM, PNG or JPEG (searched recursively), or a CSV.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    labels: Annotated[Path | None, typer.Option(help="CSV of labels with a column `path`.")] = None,
    dataset: Annotated[str, typer.Option(help="Layout: auto, folder, csv or nih.")] = "auto",
    short_side: Annotated[int, typer.Option(help="Pixels of the short side.")] = 518,
    bits: Annotated[int, typer.Option(help="16, or 8.")] = 16,
    intensity: Annotated[str, typer.Option(help="minmax, window or percentile.")] = "minmax",
    workers: Annotated[int | None, typer.Option(help="Processes (default: one per core).")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any file was rejected.")] = False,
    as_json: Json = False,
) -> None:
    """Read an archive, resize and write 16-bit shards; run again, it goes on where it stopped.

    Example: `raddino data ingest archive shards --short-side 518`
    """
    import cxr_io

    from raddino_cli.console import bar, print_json

    with bar("ingest") as progress:
        summary = cxr_io.ingest(
            source,
            out,
            labels=labels,
            dataset=dataset,
            short_side=short_side,
            bits=bits,
            intensity=intensity,
            workers=workers,
            progress=progress,
        )
    if as_json:
        print_json(vars(summary))
    else:
        splits = ", ".join(f"{count} {name}" for name, count in summary.splits.items())
        typer.echo(f"{summary.accepted} images in {out} ({splits})")
        if summary.rejected:
            reasons = ", ".join(f"{count} {code}" for code, count in summary.reasons.items())
            typer.echo(f"{summary.rejected} rejected ({reasons}); each is in {out / 'rejected.jsonl'}", err=True)
    if strict and summary.rejected:
        raise typer.Exit(1)


@app.command()
def info(shards: Shards, as_json: Json = False) -> None:
    """How many samples, patients and labels a folder of shards holds.

    Example: `raddino data info shards`
    """
    import cxr_io

    from raddino_cli.console import print_json, table

    found = cxr_io.info(shards)
    if as_json:
        print_json(found)
        return
    rows = [
        [name, str(split["samples"]), str(split["patients"]), str(split["shards"]), f"{split['bytes'] / 1e6:.1f}"]
        for name, split in found["splits"].items()
    ]
    table(str(shards), ["split", "samples", "patients", "shards", "MB"], rows)
    names = sorted({label for split in found["splits"].values() for label in split["labels"]})
    counted = [
        [name, *(str(split["labels"].get(name, {}).get("positive", 0)) for split in found["splits"].values())]
        for name in names
    ]
    if counted:
        table("Positive labels", ["label", *found["splits"]], counted)


@app.command()
def verify(shards: Shards, as_json: Json = False) -> None:
    """Compare every shard with its hash and decode every sample; exit 1 if anything is damaged.

    Example: `raddino data verify shards`
    """
    import cxr_io

    from raddino_cli.console import bar, print_json

    with bar("verify") as progress:
        found = cxr_io.verify(shards, progress=progress)
    if as_json:
        print_json({"damaged": [vars(damage) for damage in found]})
    elif not found:
        typer.echo(f"{shards}: all well")
    else:
        for damage in found:
            typer.echo(f"{damage.shard} {damage.sample or ''}: {damage.problem}", err=True)
    if found:
        raise typer.Exit(1)
