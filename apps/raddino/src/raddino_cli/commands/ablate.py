"""`raddino ablate`: a question as data, many runs, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    study: Annotated[str, typer.Argument(help="A TOML file, a built-in study, or `list`, which shows these.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write, or to go on with (default: runs/STUDY).")] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.1, help="Minutes: scales steps, seeds and phantoms to this machine.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes for reading (default: one per core).")] = None,
    replicates: Annotated[int, typer.Option(min=2, help="Bootstrap replicates.")] = 1000,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier study left in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json, or the list, on stdout.")] = False,
) -> None:
    """Train, embed and measure whatever a study asks for, and say what it supports, contradicts or can't tell.

    Each level is compared with its factor's base by the same seeds and test patients, with a 95 % interval. Stopped
    anywhere, it goes on when started again. results.md, .json, study.toml and a plot a factor are in --out.

    Examples: `raddino ablate list`, `raddino ablate objective --budget 60`, `raddino ablate mine.toml --out runs/mine`
    """
    from raddino_cli.console import print_json, table
    from raddino_cli.studies.study import built_in, load_study

    if study == "list":
        known = {name: load_study(name) for name in built_in()}
        if as_json:
            print_json({"studies": {name: of.question for name, of in known.items()}})
        else:
            table("Built-in studies", ["name", "question"], [[name, of.question] for name, of in known.items()])
        return
    from raddino_cli.studies.ablating import ablate
    from raddino_cli.studies.writing import COLUMNS, rows, sentences

    place = out or Path("runs") / Path(study).stem
    asked, found, results = ablate(
        load_study(study), place, budget=budget, workers=workers, replicates=replicates, fresh=fresh
    )
    if as_json:
        print_json(results)
        return
    for factor in asked.factors:
        mine = [effect for effect in found.effects if effect.factor == factor.name]
        table(factor.name, COLUMNS[:-1], [row[:-1] for row in rows(mine)])
        for sentence in sentences(found, factor):
            typer.echo(sentence)
    if found.problem:
        typer.echo(f"too small to tell effect from noise: {found.problem}")
    typer.echo(f"files: {place}/results.md, .json, study.toml, {len(asked.factors)} plots")
