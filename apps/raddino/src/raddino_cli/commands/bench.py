"""`raddino bench`: encoders x targets in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BASELINES = "pixels:32,random:vit_small_patch16_224"


def command(
    source: Annotated[Path, typer.Argument(help="Folder of shards, or an archive, which is ingested into OUT first.")],
    protocol: Annotated[
        str, typer.Option(help="What the paper measured: vindr, rsna, candid-ptx or mimic-metadata.")
    ] = "",
    encoders: Annotated[
        str, typer.Option(help="Specs as in `raddino embed`, with commas between; all are compared with the first.")
    ] = BASELINES,
    targets: Annotated[
        str,
        typer.Option(
            help="Labels, sex, view, manufacturer, age, weight_kg, height_cm, bmi, with commas between (default: the "
            "protocol's, else labels, sex, age, bmi)."
        ),
    ] = "",
    metrics: Annotated[
        str,
        typer.Option(
            help="Of auroc, average_precision, f1, sensitivity, specificity, brier, ece, mae, r2, pearson (default: "
            "the protocol's, else auroc, average_precision, mae, r2, pearson)."
        ),
    ] = "",
    method: Annotated[str, typer.Option(help="linear, knn, logistic or attentive (for labels, sex, view).")] = "linear",
    beyond: Annotated[
        str, typer.Option(help="Confounders such as age,view: also what they tell alone, and what goes beyond them.")
    ] = "",
    by: Annotated[str, typer.Option(help="Also by group: sex, age, view, manufacturer, with commas between.")] = "",
    shots: Annotated[str, typer.Option(help="Also from so many images of each class, such as 1,4,16.")] = "",
    patches: Annotated[bool, typer.Option("--patches", help="Keep patch tokens too (attentive probes do).")] = False,
    layers: Annotated[int, typer.Option(min=1, help="Also class tokens of so many of the last layers, such as 4.")] = 1,
    grid: Annotated[
        int, typer.Option(min=0, help="Also patch tokens averaged in so many cells a side, such as 5.")
    ] = 0,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(
            help="ENCODER=FILE: a list of the images, patients or studies it was trained on, text or CSV, to compare "
            "with the split test; may be repeated (a run of `raddino pretrain` has its own)."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write, or to go on with.")] = Path("runs/bench"),
    short_side: Annotated[int, typer.Option(help="Pixels of the short side, of an archive.")] = 518,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 1000,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes for reading an archive.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier bench left in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Encoders x targets in one table with 95 % intervals by patient: terminal, Markdown, LaTeX, CSV, JSON and plots.

    Each encoder embeds once and each cell is measured once: stopped anywhere, or asked for one encoder more, it does
    what is missing.

    Examples:
    `raddino bench --protocol vindr vindr-cxr`,
    `raddino bench shards --encoders pixels:32,random:runs/first,runs/first --targets sex,age,effusion --beyond view`
    """
    from raddino_probes import render, render_models

    from raddino_cli.console import print_json
    from raddino_cli.work.bench_files import as_json as plain
    from raddino_cli.work.bench_files import notes, write_bench
    from raddino_cli.work.bench_table import Settings
    from raddino_cli.work.benching import bench

    settings = Settings(
        encoders=_words(encoders),
        targets=_words(targets),
        metrics=_words(metrics),
        protocol=protocol,
        method=method,
        patches=patches,
        layers=layers,
        grid=grid,
        beyond=_words(beyond),
        by=_words(by),
        shots=tuple(_number(word) for word in _words(shots)),
        replicates=replicates,
        short_side=short_side,
    )
    lists = dict(_pair(text) for text in trained_on or ())
    found = bench(source, out, settings, trained_on=lists, workers=workers, fresh=fresh)
    write_bench(found, out)
    if as_json:
        print_json(plain(found))
        return
    for title, part in (("", found.results), ("By group", found.groups), ("From few images", found.shots)):
        if any(part.values()):
            typer.echo(f"{title}\n{render_models(part)}" if title else render_models(part))
    for title, lines in found.comparisons.items():
        typer.echo(f"{title}\n{render(lines)}")
    for sentence in notes(found):
        typer.echo(sentence)
    typer.echo(f"files: {out}/results.md, .tex, .csv, .json, .svg, .pdf")


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _number(word: str) -> int:
    try:
        return int(word)
    except ValueError as error:
        raise ValueError(f"--shots: expected numbers such as 1,4,16; got {word!r}") from error


def _pair(text: str) -> tuple[str, Path]:
    encoder, equals, file = text.rpartition("=")
    if not equals:
        raise ValueError(f"--trained-on: expected ENCODER=FILE, got {text!r}")
    return encoder, Path(file)
