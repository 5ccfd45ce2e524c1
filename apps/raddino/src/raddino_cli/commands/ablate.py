"""`raddino ablate`: a question as data, many runs, and what they say."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from raddino_cli.commands.launching import Account, CpusPerProcess, Launcher, Minutes, Partition, check_launcher


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
    launcher: Launcher = "local",
    gpus_per_node: Annotated[int, typer.Option(min=0, help="SLURM: GPUs that train an encoder.")] = 0,
    cpus_per_process: CpusPerProcess = 8,
    minutes: Minutes = 1440,
    partition: Partition = None,
    account: Account = None,
) -> None:
    """Train, embed and measure whatever a study asks for, and say what it supports, contradicts or can't tell.

    Each level is compared with its factor's base by the same seeds and test patients, with a 95 % interval. Stopped
    anywhere, it goes on when started again. In --out are results.md, .json, .tex, .csv, study.toml and a plot a
    factor as .svg and .pdf.

    With --launcher slurm each encoder is a job, the data one before them and the table one after them; started again,
    the command says how far they are, submits what failed, and at the end prints the table.

    Examples: `raddino ablate list`, `raddino ablate objective --budget 60`, `raddino ablate mine.toml --out runs/mine`,
    `raddino ablate objective --launcher slurm --partition gpu --gpus-per-node 1 --minutes 240`
    """
    from raddino_cli.console import print_json, table
    from raddino_cli.studies.study import built_in, load_study

    check_launcher(launcher)
    if launcher == "slurm" and budget:
        raise typer.BadParameter("measures this machine, and jobs run on others", param_hint="--budget")
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
    if launcher == "slurm":
        from raddino_cli.studies.queueing import queue
        from raddino_cli.work.slurm import Job, folder_beside

        job = Job(1, 1, gpus_per_node, cpus_per_process, minutes, partition, account)
        jobs = queue(load_study(study), place, job, workers=workers, replicates=replicates, fresh=fresh)
        if not jobs.empty:
            if as_json:
                print_json(asdict(jobs))
                return
            typer.echo(
                f"{jobs.finished} encoders finished, {len(jobs.under_way)} jobs under way, {len(jobs.submitted)} "
                f"submitted; their logs are in {folder_beside(place)}, and the same command tells how far they are"
            )
            return
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
    typer.echo(f"files: {place}/results.md, .json, .tex, .csv, study.toml, {len(asked.factors)} plots as .svg and .pdf")
