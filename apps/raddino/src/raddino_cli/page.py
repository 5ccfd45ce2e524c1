"""The report page: one HTML file with everything inside it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment

from raddino_cli import figures
from raddino_cli.work.features import Features, load_features
from raddino_cli.work.reporting import retrieve
from raddino_cli.work.stages import write_text

_SHOWN = 3


def write_page(out: Path, results: dict[str, Any]) -> Path:
    """Draw `report.html` from what a demo left in its folder."""
    features = {name: load_features(out / "features" / name) for name in results["encoders"]}
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("raddino_cli").joinpath("page.html.jinja").read_text(encoding="utf-8"))
    html = template.render(
        results=results,
        pictures=figures.draw(out, features, results),
        tables=_tables(results),
        examples=_examples(features["trained"]) if results["reports"] else [],
        proof=_proof(results["proof"]) if results["probes"] else [],
        settings=(out / "run" / "config.toml").read_text(encoding="utf-8"),
    )
    path = out / "report.html"
    write_text(path, html)
    return path


def _tables(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Tables of cells: text, whether it is the best of its row, whether its interval is apart from the others."""
    probes = results["probes"]
    found = []
    names = list(next(iter(probes.values()), {}))
    binary = [name for name in names if probes["trained"][name]["metric"] == "auroc"]
    for title, targets, sign in (
        ("Findings, devices and sex: AUROC of a linear probe", binary, 1),
        (
            "Age (years) and BMI (kg/m²): mean absolute error of ridge regression",
            [n for n in names if n not in binary],
            -1,
        ),
    ):
        if targets:
            rows = [_row(name, [probes[encoder][name] for encoder in probes], sign) for name in targets]
            found.append({"title": title, "rows": rows, "names": list(probes)})
    segmentation = results["segmentation"]
    if segmentation:
        blind = {name: score["mean_mask"] for name, score in segmentation["trained"].items()}
        segmentation = {**segmentation, "mean mask": blind}
    for scores, title in (
        (segmentation, "Lungs: Dice of a linear head, beside the commonest training mask"),
        (results["reports"], "Retrieved reports, 0 to 1"),
    ):
        if scores:
            rows = [
                _row(name, [scores[encoder][name] for encoder in scores], 1) for name in next(iter(scores.values()))
            ]
            found.append({"title": title, "rows": rows, "names": list(scores)})
    return found


def _row(name: str, scores: list[dict[str, Any]], sign: int) -> dict[str, Any]:
    values = [sign * s["value"] if s["value"] is not None else float("-inf") for s in scores]
    cells = []
    for i, score in enumerate(scores):
        if score["value"] is None:
            cells.append({"value": "–", "interval": score.get("reason", ""), "best": False, "apart": False})
            continue
        ends = sorted((sign * score["low"], sign * score["high"])) if score["low"] is not None else None
        others = [o for j, o in enumerate(scores) if j != i]
        apart = ends is not None and all(
            o["low"] is not None and ends[0] > max(sign * o["low"], sign * o["high"]) for o in others
        )
        interval = f"{score['low']:.3f}–{score['high']:.3f}" if ends else ""
        cells.append(
            {"value": f"{score['value']:.3f}", "interval": interval, "best": values[i] == max(values), "apart": apart}
        )
    return {"name": name.replace("_", " "), "cells": cells, "n": scores[0].get("n")}


def _examples(features: Features) -> list[dict[str, str]]:
    test, said = retrieve(features)
    return [{"generated": a, "reference": b} for a, b in list(zip(said, test.texts, strict=True))[:_SHOWN]]


def _proof(found: dict[str, Any]) -> list[tuple[bool, str]]:
    findings = found["findings_apart"]
    named = ", ".join(name.replace("_", " ") for name in findings) or "none"
    return [
        (len(findings) >= 2, f"Findings whose interval lies above both baselines': {named}"),
        (found["sex_apart"], "Sex: interval above both baselines'"),
        (found["age_error_lower"], "Age: lower error than both baselines"),
        (found["lung_dice_higher"], "Lungs: higher Dice than both baselines"),
    ]
