"""`raddino report`: the retrieval baseline and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Reports by retrieval: the words of the nearest training image.", no_args_is_help=True)
Features = Annotated[Path, typer.Argument(help="Folder that `raddino embed` wrote, of images with reports.")]


@app.command()
def generate(features: Features, out: Annotated[Path, typer.Option(help="JSON lines to write.")]) -> None:
    """A report for every test image: key, generated text and reference.

    Example: `raddino report generate features/first --out reports.jsonl`
    """
    from raddino_cli.work.reporting import generate_to

    typer.echo(f"{generate_to(features, out)} reports in {out}")


@app.command()
def evaluate(
    features: Features, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """BLEU-4 and ROUGE-L of the retrieved reports against the references, with 95 % intervals over patients.

    Example: `raddino report evaluate features/first`
    """
    from raddino_cli.console import print_json, table
    from raddino_cli.work.probing import words
    from raddino_cli.work.reporting import evaluate_retrieval

    found = evaluate_retrieval(features)
    if as_json:
        print_json(found)
    else:
        table(
            str(features), ["metric", "value (95 % interval)"], [[name, words(score)] for name, score in found.items()]
        )
