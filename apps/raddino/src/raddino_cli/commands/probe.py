"""`raddino probe`: what frozen features know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    features: Annotated[Path, typer.Argument(help="Folder that `raddino embed` wrote.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="A label, sex, view, manufacturer, age, weight_kg, height_cm or bmi; may be repeated (default: "
            "labels, sex, age, bmi)."
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="linear, knn, logistic or attentive (for labels, sex, view).")] = "linear",
    shots: Annotated[
        str, typer.Option(help="Also from so many images of each class, such as 1,4,16 (for labels and sex).")
    ] = "",
    by: Annotated[
        list[str] | None, typer.Option(help="Also by sex, age, view or manufacturer; may be repeated.")
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(help="SVG or PDF to write: which patches speak for each label, sex or view (needs patch tokens)."),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Probes of frozen features, each with a 95 % interval over patients; ridge regression for numbers.

    Examples:
    `raddino probe features/first --target sex --target age`,
    `raddino probe features/first --method knn --by sex --by view`,
    `raddino probe features/first --target effusion --shots 1,4,16,64 --json`,
    `raddino probe features/first --target sex --maps sex.svg`
    """
    from raddino_cli.console import bar, print_json, table
    from raddino_cli.work.probing import probe, words

    if maps:
        from raddino_cli import plots

        plots.form_of(maps)
    with bar("probes") as progress:
        found = probe(
            features, target, method=method, shots=_numbers(shots), by=by or (), replicates=replicates,
            progress=progress,
        )  # fmt: skip
    if maps:
        from raddino_cli.work.mapping import map_targets

        plots.save(plots.maps(map_targets(features, target)), maps)
    if as_json:
        print_json(found)
        return
    rows = [_row(name, "", score, words(score)) for name, score in found.items()]
    table(str(features), ["target", "metric", "value (95 % interval)", "images"], [[row[0], *row[2:]] for row in rows])
    for key, title in (("groups", "By group"), ("shots", "From few images")):
        parts = [_row(name, part["group"], part, words(part)) for name in found for part in found[name].get(key, [])]
        if parts:
            table(title, ["target", "rows" if key == "groups" else "of each class", *_REST], parts)


_REST = ["metric", "value (95 % interval)", "images"]


def _row(name: str, group: str, score: dict[str, Any], words: str) -> list[str]:
    return [name, group, score["metric"], words, str(score["n"])]


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")] if text else []
    except ValueError as error:
        raise ValueError(f"--shots: expected numbers such as 1,4,16; got {text!r}") from error
