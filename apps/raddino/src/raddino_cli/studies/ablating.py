"""A study from its question to its files."""

from __future__ import annotations

from hashlib import file_digest, sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from raddino_cli.studies.analysis import Analysis, analyse
from raddino_cli.studies.budget import fit_budget, keep_budget
from raddino_cli.studies.running import run_all
from raddino_cli.studies.runs import expand
from raddino_cli.studies.study import Study, facts, tables
from raddino_cli.studies.writing import write_study
from raddino_cli.work.demo import PACKAGES
from raddino_cli.work.encoding import files_of
from raddino_cli.work.stages import Stages

_FILES = ("pretrain.recipe", "pretrain.init", "init.weights", "init.head", "data.labels")


def ablate(
    asked: Study,
    out: Path,
    *,
    budget: float | None = None,
    workers: int | None = None,
    replicates: int = 1000,
    fresh: bool = False,
) -> tuple[Study, Analysis, dict[str, Any]]:
    """Do what is missing of a study; it as it was run, what it says, and what `results.json` holds.

    Raises:
        ValueError: the folder was begun with another study, and how that differs; or what a stage refuses.
    """
    study = asked if budget is None else fit_budget(asked, out, budget, fresh=fresh)
    stages = open_folder(study, out, budget=budget, fresh=fresh)
    if budget is not None:
        keep_budget(asked, study, out, budget)
    found = analyse(study, run_all(study, stages, workers=workers), replicates=replicates)
    return study, found, write_study(study, found, out, _versions() | _machine())


def open_folder(study: Study, out: Path, *, budget: float | None = None, fresh: bool = False) -> Stages:
    """The stages of a study's folder.

    Raises:
        ValueError: the folder was begun with another study or other versions, and how that differs; what a recipe
            refuses, before a folder is made.
    """
    expand(study)
    noted = {**facts(study), **_contents(study), "budget": budget, "versions": _versions()}
    return Stages(out, "ablate", noted, fresh=fresh)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in (*PACKAGES, "torch")}


def _machine() -> dict[str, str]:
    """What numbers depend on besides: rounding differs with threads and devices."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {"device": device, "threads": str(torch.get_num_threads())}


def _contents(study: Study) -> dict[str, str]:
    """Digests of the files that a study names but for the images: under the same name they may change."""
    found: dict[str, str] = {}
    for settings in tables(study):
        for value in (settings[key] for key in _FILES if settings.get(key)):
            hashed = sha256()
            for path in files_of(value):
                with path.open("rb") as file:
                    hashed.update(file_digest(file, "sha256").digest())
                found[f"contents of {value}"] = hashed.hexdigest()
    return found
