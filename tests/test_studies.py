"""The pages of docs/studies: the small one is made again and compared; RADDINO_SNAPSHOT=1 writes it."""

import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from raddino_cli.studies.analysis import Analysis, Effect, Law, Verdict
from raddino_cli.studies.study import load_study
from raddino_cli.studies.trained import Trained
from raddino_cli.studies.writing import markdown
from raddino_probes import AcrossSeeds

STUDIES = Path(__file__).parents[1] / "docs" / "studies"
NEAR = 0.03  # what another processor's arithmetic may change


@pytest.mark.slow
def test_the_small_study_gives_its_page_again(tmp_path: Path) -> None:
    page, raddino = STUDIES / "masks", Path(sys.executable).parent / "raddino"
    words = ["ablate", str(page / "study.toml"), "--out", str(tmp_path / "masks")]
    subprocess.run([str(raddino), *words], check=True, capture_output=True)
    made = [path for path in (tmp_path / "masks").iterdir() if path.suffix in (".md", ".svg", ".tex", ".csv")]
    made += [tmp_path / "masks" / "results.json", tmp_path / "masks" / "study.toml"]
    if os.environ.get("RADDINO_SNAPSHOT"):
        for path in made:
            shutil.copyfile(path, page / path.name)
    assert {path.name for path in page.iterdir()} == {path.name for path in made}
    new, old = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path / "masks", page))
    assert [verdict["says"] for verdict in new["verdicts"]] == [verdict["says"] for verdict in old["verdicts"]]
    for mine, theirs in zip(new["effects"], old["effects"], strict=True):
        assert (mine["level"], mine["on"]) == (theirs["level"], theirs["on"])
        for part in ("value", "difference"):
            for number in ("value", "low", "high") if mine[part] else ():
                assert mine[part][number] == pytest.approx(theirs[part][number], abs=NEAR), mine["level"]


@pytest.mark.parametrize("page", sorted(STUDIES.glob("*/results.md")), ids=lambda path: path.parent.name)
def test_every_page_is_what_its_results_and_its_study_make(page: Path) -> None:
    results = json.loads((page.parent / "results.json").read_text())
    study = load_study(str(page.parent / "study.toml"))
    found = Analysis(
        [_typed(Effect, effect) for effect in results["effects"]],
        [_typed(Law, law) for law in results["laws"]],
        [_typed(Verdict, verdict) for verdict in results["verdicts"]],
        results["problem"],
    )
    ways = [_typed(Trained, way) for way in results["trained"]]
    assert page.read_text() == markdown(study, found, ways, results["versions"])
    for name in re.findall(r"\]\(([^)]+\.svg)\)", page.read_text()):
        assert (page.parent / name).exists()


def _typed(kind: Any, values: dict[str, Any]) -> Any:
    """A dataclass from what JSON holds of it, where a number that isn't there is null."""
    of = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    found = dict(values)
    for name, value in values.items():
        if "AcrossSeeds" in of[name] and value:
            found[name] = _typed(AcrossSeeds, value)
        elif of[name] == "float" and value is None:
            found[name] = math.nan
        elif isinstance(value, list):
            found[name] = tuple(value)
    return kind(**found)
