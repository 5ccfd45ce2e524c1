"""Reports of two text files scored, each line of one against the same line of the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import raddino_reportgen as rg


def score_files(
    references: Path,
    candidates: Path,
    *,
    patients: Path | None = None,
    convention: str = "plain",
    uncertain: str = "present",
    replicates: int = 500,
) -> dict[str, Any]:
    """`pairs`, `counts` of what was odd, `systems` {"candidates": {metric: score}} and `findings`, scores by finding.

    A line is a report. Pairs whose reference is empty are left out; an empty candidate counts and scores nothing.
    """
    truth, said = _lines(references), _lines(candidates)
    who = _lines(patients) if patients else [str(row) for row in range(len(truth))]
    for path, lines in ((candidates, said), (patients, who)):
        if len(lines) != len(truth):
            raise ValueError(
                f"expected as many lines in {path} as in {references}, got {len(lines)} and {len(truth)}; each line is "
                "a report, an empty one too"
            )
    kept = [row for row, text in enumerate(truth) if text]
    if not kept:
        raise ValueError(f"expected reports in {references}, one a line; found none")
    counts = {"empty references, left out": len(truth) - len(kept)}
    truth, said, who = ([lines[row] for row in kept] for lines in (truth, said, who))
    options: dict[str, Any] = {"uncertain": uncertain, "replicates": replicates}
    scores = rg.evaluate(said, truth, who, convention=convention, **options)  # type: ignore[arg-type]
    return {
        "pairs": len(kept),
        "counts": {**counts, "empty candidates": said.count("")},
        "systems": {"candidates": as_rows(scores)},
        "findings": {name: as_rows(part) for name, part in rg.findings(said, truth, who, **options).items()},
    }


def as_rows(scores: Mapping[str, rg.Score]) -> dict[str, dict[str, Any]]:
    """Scores as what JSON holds."""
    return {name: vars(score) for name, score in scores.items()}


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"expected a text file in UTF-8 at {path}: {error}") from error
    return [line.strip() for line in text.removesuffix("\n").split("\n")] if text else []
