"""`raddino probe`: what frozen features know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    features: Annotated[Path, typer.Argument(help="Folder that `raddino embed` wrote.")],
    target: Annotated[
        list[str] | None, typer.Option(help="A label, sex, age or bmi; may be repeated (default: all that are known).")
    ] = None,
    method: Annotated[str, typer.Option(help="linear or knn (for labels and sex).")] = "linear",
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Linear or kNN probes of frozen features, each with a 95 % interval over patients.

    Example: `raddino probe features/first --target sex --target age`
    """
    from raddino_cli.console import bar, print_json, table
    from raddino_cli.work.probing import probe, words

    with bar("probes") as progress:
        found = probe(features, target, method=method, replicates=replicates, progress=progress)
    if as_json:
        print_json(found)
    else:
        rows = [[name, score["metric"], words(score), str(score["n"])] for name, score in found.items()]
        table(str(features), ["target", "metric", "value (95 % interval)", "images"], rows)
