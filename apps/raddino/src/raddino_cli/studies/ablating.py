"""A study from its question to its files."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from raddino_cli.studies.analysis import Analysis, analyse
from raddino_cli.studies.budget import fit_budget, keep_budget
from raddino_cli.studies.runs import expand, run_all
from raddino_cli.studies.study import Study
from raddino_cli.studies.writing import write_study
from raddino_cli.work.demo import PACKAGES
from raddino_cli.work.stages import Stages


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
    return study, found, write_study(study, found, out, _versions())


def open_folder(study: Study, out: Path, *, budget: float | None = None, fresh: bool = False) -> Stages:
    """The stages of a study's folder.

    Raises:
        ValueError: the folder was begun with another study or other versions, and how that differs; what a recipe
            refuses, before a folder is made.
    """
    expand(study)
    return Stages(out, "ablate", {**_settings(study), "budget": budget, "versions": _versions()}, fresh=fresh)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in (*PACKAGES, "torch")}


def _settings(study: Study) -> dict[str, Any]:
    """What the runs are a function of, setting by setting, so that a change is named; words alone may change."""
    found: dict[str, Any] = {"design": study.design, "seeds": list(study.seeds)}
    found |= {f"base {key}": value for key, value in study.base.items()}
    for factor in study.factors:
        found[f"base of {factor.name}"] = factor.base
        found |= {f"level {factor.name}={level}": of for level, of in factor.levels.items()}
    return found
