"""A language model on patch tokens: trained on the split train of some features, then writing for another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import raddino_reportgen as rg
import torch
from numpy.typing import NDArray
from raddino_reportgen import model as rm

from raddino_cli.console import Progress
from raddino_cli.work.features import Features, load_features
from raddino_cli.work.reporting import Split, reports_of


def train_reporter(
    folder: Path,
    out: Path,
    recipe: str,
    overrides: list[str],
    language_model: str | None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train by a recipe; returns how many reports there were, what was left out, and the perplexity on validation."""
    chosen = rm.load_recipe(recipe, overrides)
    features = load_features(folder)
    train, val = (reports_of(features, split, chosen.section) for split in ("train", "val"))
    known = examples_of(features, train)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    reporter = rm.train(rm.Reporter.build(chosen, known, language_model), known, out, device=device, progress=progress)
    found = {"reports": len(train.texts), "left_out": dict(train.left_out)}
    return {**found, "val_perplexity": rm.perplexity(reporter, examples_of(features, val))}


def write_with(
    features: Features,
    reporter: Path,
    decoding: rm.Decoding,
    *,
    shuffled: bool = False,
    progress: Progress | None = None,
) -> tuple[Split, list[str]]:
    """Reports of the test images by a trained reporter; `shuffled` gives it another image for each, by a fixed seed."""
    model = rm.Reporter.load(reporter / "reporter")
    test = reports_of(features, "test", model.recipe.section)
    known = examples_of(features, test)
    order = np.random.default_rng(0).permutation(len(test.rows)) if shuffled else np.arange(len(test.rows))
    views = {name: rows[order] for name, rows in known.views.items()}
    said = model.generate(
        known.tokens, known.contexts, decoding, rows=test.rows[order], views=views, batch_size=128, progress=progress
    )
    return test, said


def examples_of(features: Features, split: Split) -> rm.Examples:
    """Patch tokens (N, h * w, D), texts, the reports' other sections, and each image's lateral of the same study."""
    if features.patches is None:
        raise ValueError("expected patch tokens among the features; embed again with --patches")
    tokens = features.patches.reshape(*features.patches.shape[:2], -1).transpose(0, 2, 1)  # still on disk
    contexts: list[Mapping[str, str]] = [rg.sections(features.samples["report"][row]) for row in split.rows]
    return rm.Examples(tokens, split.texts, contexts, split.rows, {"lateral": _laterals(features, split.rows)})


def _laterals(features: Features, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of each row the first lateral image of the same study, -1 where there is none."""
    studies, views = (features.samples.get(name, [None] * len(features.cls)) for name in ("study", "view"))
    of: dict[str, int] = {}
    for row, (study, view) in enumerate(zip(studies, views, strict=True)):
        if study and view == "LATERAL":
            of.setdefault(study, row)
    return np.array([of.get(studies[row], -1) for row in rows], dtype=np.intp)
