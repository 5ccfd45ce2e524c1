"""Reports of two text files scored, each line of one against the same line of the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import raddino_reportgen as rg


@dataclass(frozen=True)
class Measures:
    """Who labels findings, and what else is measured of each pair: the package's rules, and nothing."""

    labeller: Callable[[Sequence[str]], Any] = rg.label_reports
    per_pair: Callable[[Sequence[str], Sequence[str]], dict[str, Any]] = lambda _said, _truth: {}


def load_measures(published: Path | None) -> Measures:
    """Those of a folder of published weights, or none."""
    if published is None:
        return Measures()
    from raddino_reportgen.published import Published

    found = Published(published)
    return Measures(found.labeller or rg.label_reports, found.per_pair)


def score_files(
    references: Path,
    candidates: Path,
    *,
    patients: Path | None = None,
    convention: str = "plain",
    uncertain: str = "present",
    replicates: int = 500,
    measures: Measures | None = None,
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
    measures = measures or Measures()
    options: dict[str, Any] = {"uncertain": uncertain, "replicates": replicates, "labeller": measures.labeller}
    more = measures.per_pair(said, truth)
    scores = rg.evaluate(said, truth, who, convention=convention, per_pair=more, **options)  # type: ignore[arg-type]
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
