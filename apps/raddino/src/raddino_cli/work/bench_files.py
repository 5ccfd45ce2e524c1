"""What a bench found, as files: `results.json`, `.csv`, `.md`, `.tex`, `.svg` and `.pdf`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raddino_probes import render, render_models

from raddino_cli.console import finite
from raddino_cli.plots import curves, intervals, save
from raddino_cli.work.benching import Bench
from raddino_cli.work.stages import write_text


def write_bench(found: Bench, out: Path) -> None:
    """Write all forms; plots of few images are in `shots.svg` and `.pdf`."""
    parts = found.groups, found.shots
    everything = {model: sum((part.get(model, []) for part in parts), of) for model, of in found.results.items()}
    write_text(out / "results.json", json.dumps(finite(as_json(found)), indent=1) + "\n")
    write_text(out / "results.csv", render_models(everything, "csv"))
    write_text(out / "results.tex", render_models(found.results, "latex"))
    write_text(out / "results.md", markdown(found))
    save(intervals(found.results), out / "results.svg", out / "results.pdf")
    if any(found.shots.values()):
        save(curves(found.shots), out / "shots.svg", out / "shots.pdf")


def as_json(found: Bench) -> dict[str, Any]:
    """One object with everything."""

    def rows(of: dict[str, Any]) -> dict[str, Any]:
        return {title: [asdict(line) for line in lines] for title, lines in of.items()}

    return {
        "format": 1,
        "data": found.data,
        "protocol": asdict(found.protocol) if found.protocol else None,
        **{part: rows(getattr(found, part)) for part in ("results", "groups", "shots", "comparisons")},
        "leaks": found.leaks,
    }


def notes(found: Bench) -> list[str]:
    """Sentences that belong beside the table: the protocol's sources, and what was found of training lists."""
    said = []
    if known := found.protocol:
        said.append(f"Protocol: {known.dataset}; split: {known.split}; known from {known.known_from}.")
        if known.unconfirmed:
            said.append(f"Not confirmed by any document: {', '.join(known.unconfirmed)}.")
    for model in found.shots:
        if model not in found.leaks and not model.startswith(("pixels:", "random:")):
            said.append(f"Leakage of {model}: not checked, no training list.")
    said += [f"Leakage of {model}, {line}." for model, lines in found.leaks.items() for line in lines]
    return said


def markdown(found: Bench, plots: str = "results.svg") -> str:
    """Tables and plot; `plots` is where the plot is, seen from the page."""
    parts = [" ".join(notes(found)), render_models(found.results, "markdown"), f"![Values and 95 % intervals]({plots})"]
    for title, part in (("By group", found.groups), ("From few images", found.shots)):
        if any(part.values()):
            parts += [f"## {title}", render_models(part, "markdown")]
    parts += [text for title, lines in found.comparisons.items() for text in (f"## {title}", render(lines, "markdown"))]
    parts.append(f"## Again\n\n```\n{found.command}\n```")
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
