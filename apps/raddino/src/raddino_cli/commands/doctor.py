"""`raddino doctor`: what this machine can do."""

from __future__ import annotations

from typing import Annotated

import typer


def command(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """What this machine can do, and the pip line that adds what it can't.

    Example: `raddino doctor --json`
    """
    from raddino_cli.console import print_json, table
    from raddino_cli.work.machine import examine

    found = examine()
    if as_json:
        print_json(found)
        return
    table("This machine", ["", ""], [[name, str(value)] for name, value in found["machine"].items()])
    rows = [[name, "yes" if entry["ready"] else "no", entry["add"] or ""] for name, entry in found["abilities"].items()]
    table("Abilities", ["", "ready", "to add it"], rows)
