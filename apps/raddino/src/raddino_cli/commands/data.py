"""`raddino data`: archives into shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Archives into shards, and what the shards hold.", no_args_is_help=True)
# cxr_io.DATASETS, written out so that help imports nothing heavy; a test compares them.
DATASETS = (
    "auto", "csv", "nih", "mimic-cxr-jpg", "mimic-cxr", "chexpert", "padchest", "brax", "vindr-cxr", "vindr-ribcxr",
    "rsna", "siim-acr", "candid-ptx", "open-i", "montgomery", "shenzhen", "jsrt", "folder",
)  # fmt: skip
Source = Annotated[
    Path, typer.Argument(help="Folder of DICOM, PNG, JPEG, TIFF or NIfTI (searched recursively), or a CSV.")
]
Labels = Annotated[Path | None, typer.Option(help="CSV of labels with a column `path`.")]
Dataset = Annotated[str, typer.Option(help=f"Layout: {', '.join(DATASETS)}.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes (default: one per core).")]
Shards = Annotated[Path, typer.Argument(help="Folder of shards.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_MOST = 8  # sizes and the like; archives have thousands


@app.command()
def ingest(
    source: Source,
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    labels: Labels = None,
    dataset: Dataset = "auto",
    exclude: Annotated[
        Path | None, typer.Option(help="Text file of images, patients or studies to leave out, one a line.")
    ] = None,
    short_side: Annotated[int, typer.Option(help="Pixels of the short side.")] = 518,
    bits: Annotated[int, typer.Option(help="16, or 8.")] = 16,
    intensity: Annotated[str, typer.Option(help="minmax, window or percentile.")] = "minmax",
    codec: Annotated[str, typer.Option(help="png, or jxl: lossless JPEG XL, smaller and faster.")] = "png",
    workers: Workers = None,
    executor: Annotated[str, typer.Option(help="local: processes of this machine; ray: a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster (default: the one that runs here, else a new one).")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="File with the secret behind the pseudonyms (default: CXR_IO_KEY, then OUT.key)."),
    ] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help="Most pixels of an image.")] = 120_000_000,
    max_file_mib: Annotated[int, typer.Option(min=1, help="Most MiB of a file.")] = 256,
    max_decoded_mib: Annotated[int, typer.Option(min=1, help="Most MiB that a file decompresses to.")] = 256,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any file was rejected.")] = False,
    as_json: Json = False,
) -> None:
    """Read an archive, resize and write 16-bit shards; run again, it goes on where it stopped.

    Example: `raddino data ingest archive shards --short-side 518`

    Rejected files are named in OUT.rejected.jsonl; OUT itself names no file and no patient.
    """
    import cxr_io

    from raddino_cli.console import bar, print_json

    with bar("ingest") as progress:
        summary = cxr_io.ingest(
            source,
            out,
            labels=labels,
            dataset=dataset,
            exclude=exclude,
            short_side=short_side,
            bits=bits,
            intensity=intensity,
            codec=codec,
            workers=workers,
            key=cxr_io.read_key(key_file) if key_file else None,
            executor=executor,
            address=address,
            limits=cxr_io.Limits(max_pixels, max_file_mib << 20, max_decoded_mib << 20),
            progress=progress,
        )
    if as_json:
        print_json(vars(summary))
    else:
        splits = ", ".join(f"{count} {name}" for name, count in summary.splits.items())
        typer.echo(f"{summary.accepted} images in {out} ({splits})")
        if summary.rejected:
            reasons = ", ".join(f"{count} {code}" for code, count in summary.reasons.items())
            names = out.with_name(out.name + ".rejected.jsonl")
            typer.echo(f"{summary.rejected} rejected ({reasons}); named in {names}", err=True)
    if strict and summary.rejected:
        raise typer.Exit(1)


@app.command()
def doctor(
    source: Source,
    labels: Labels = None,
    dataset: Dataset = "auto",
    sample: Annotated[int, typer.Option(min=0, help="Files to look at, drawn at random; 0 for all.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """What an ingest would meet: syntaxes, senses, sizes, duplicates, identifying tags, time and room. Writes nothing.

    Example: `raddino data doctor archive --sample 1000`
    """
    import cxr_io

    from raddino_cli.console import bar, print_json

    with bar("doctor") as progress:
        found = cxr_io.survey(
            source, labels=labels, dataset=dataset, sample=sample or None, seed=seed, workers=workers, progress=progress
        )
    if as_json:
        print_json(found)
    else:
        _print_survey(found)


def _print_survey(found: dict[str, Any]) -> None:
    from raddino_cli.console import table

    typer.echo(f"{found['examined']:,} of {found['files']:,} files were looked at")
    syntaxes = [
        [name, f"{entry['files']:,}", "yes" if entry["decodable"] else "no: pip install 'cxr-io[codecs]'"]
        for name, entry in found["transfer_syntaxes"].items()
    ]
    if syntaxes:
        table("Transfer syntaxes", ["syntax", "files", "decoder"], syntaxes)
    parts = {
        "kind of file": found["kinds"],
        "modality": found["modalities"],
        "photometric sense": found["photometric"],
        "bits": found["bits"],
        "size": found["sizes"],
        "view": found["views"],
        "burned-in text": found["burned_in"],
        "duplicated": found["duplicates"],
        "identifying": found["identifying"],
    }
    rows = []
    for part, counts in parts.items():
        rows += [[part, name, f"{count:,}"] for name, count in list(counts.items())[:_MOST]]
        if len(counts) > _MOST:
            rows.append([part, f"{len(counts) - _MOST} others", f"{sum(list(counts.values())[_MOST:]):,}"])
    table("Files", ["", "found", "files"], rows)
    if estimate := found["estimate"]:
        typer.echo(
            f"an ingest of all: about {estimate['images']:,} images, {estimate['bytes'] / 1e9:.2f} GB, "
            f"{estimate['seconds'] / 3600:.2f} h with {estimate['workers']} workers "
            f"(from {estimate['timed']} files that were timed)"
        )


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


@app.command()
def upload(
    shards: Shards,
    url: Annotated[str, typer.Argument(help="Folder of a store that fsspec opens, such as s3://bucket/shards.")],
    as_json: Json = False,
) -> None:
    """Copy shards to a store, the index last; run again, it sends what is missing or has changed.

    Example: `raddino data upload shards s3://bucket/shards`
    """
    import cxr_io

    from raddino_cli.console import bar, print_json

    with bar("upload") as progress:
        sent = cxr_io.upload(shards, url, progress=progress)
    if as_json:
        print_json({"sent": sent})
    else:
        typer.echo(f"{sent} files sent to {url}")


@app.command()
def duplicates(
    shards: Shards,
    other: Annotated[Path | None, typer.Argument(help="Another folder of shards (default: the same one).")] = None,
    distance: Annotated[int, typer.Option(min=0, help="Most signs of 255 in which two hashes differ.")] = 32,
    as_json: Json = False,
) -> None:
    """Pairs of images that are nearly the same, across two folders of shards or within one, by perceptual hash.

    Example: `raddino data duplicates shards other-shards`
    """
    import cxr_io

    from raddino_cli.console import bar, print_json, table

    with bar("hash") as progress:
        found = list(cxr_io.near_duplicates(shards, other or shards, distance=distance, progress=progress))
    if as_json:
        print_json({"duplicates": [vars(pair) for pair in found]})
    else:
        rows = [[p.key_a, p.split_a, p.key_b, p.split_b, str(p.distance)] for p in found]
        table(f"{len(found)} pairs", ["image", "split", "image", "split", "distance"], rows)
