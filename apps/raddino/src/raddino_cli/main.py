"""The command line: what there is, and how an error becomes one line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import raddino_cli
from raddino_cli.commands import (
    ablate,
    bench,
    card,
    data,
    demo,
    doctor,
    embed,
    phantom,
    plan,
    pretrain,
    probe,
    report,
    seg,
)

app = typer.Typer(
    name="raddino",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raddino {raddino_cli.__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Chest X-ray encoders from images alone: archive in, encoder and evidence out.

    Start with `raddino demo`, which needs no data. Research software, not a medical device.
    """


app.command("demo", short_help="The whole pipeline, from images to a page.")(demo.command)
app.command("doctor", short_help="What this machine can do.")(doctor.command)
app.command("phantom", short_help="Labelled synthetic radiographs as DICOM.")(phantom.command)
app.add_typer(data.app, name="data", short_help="Archives into shards.")
app.command("plan", short_help="The bill of a run before it is paid.")(plan.command)
app.command("pretrain", short_help="Train an encoder without labels.")(pretrain.command)
app.command("embed", short_help="Frozen features of every image.")(embed.command)
app.command("probe", short_help="What the features know, with intervals.")(probe.command)
app.command("bench", short_help="Encoders x targets in one table.")(bench.command)
app.command("ablate", short_help="A question, its runs, and what they say.")(ablate.command)
app.command("card", short_help="A run as a model card.")(card.command)
app.add_typer(seg.app, name="seg", short_help="Segmentation on patch tokens.")
app.add_typer(report.app, name="report", short_help="Reports by retrieval, and their scores.")


def main() -> None:
    """Run the command; what a user can mend is one line on stderr and exit code 1 (2 for wrong usage)."""
    debug = "--debug" in sys.argv
    if debug:  # accepted anywhere, not only before the command's name
        sys.argv = [sys.argv[0], "--debug", *(word for word in sys.argv[1:] if word != "--debug")]
    try:
        app()
    except (ValueError, OSError) as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        typer.echo(f"error: {text or type(error).__name__}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("stopped; run the same command again to go on", err=True)
        sys.exit(130)
