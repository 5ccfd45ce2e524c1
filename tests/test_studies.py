"""The pages of docs/studies: the small one is made again and compared; RADDINO_SNAPSHOT=1 writes it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[1] / "docs" / "studies"
NEAR = 0.03  # what another processor's arithmetic may change


@pytest.mark.slow
def test_the_small_study_gives_its_page_again(tmp_path: Path) -> None:
    page, raddino = STUDIES / "masks", Path(sys.executable).parent / "raddino"
    words = ["ablate", str(page / "study.toml"), "--out", str(tmp_path / "masks")]
    subprocess.run([str(raddino), *words], check=True, capture_output=True)
    made = [path for path in (tmp_path / "masks").iterdir() if path.suffix in (".md", ".svg", ".toml")]
    made.append(tmp_path / "masks" / "results.json")
    if os.environ.get("RADDINO_SNAPSHOT"):
        for path in made:
            shutil.copyfile(path, page / path.name)
    assert {path.name for path in page.iterdir()} == {path.name for path in made}
    new, old = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path / "masks", page))
    assert [verdict["says"] for verdict in new["verdicts"]] == [verdict["says"] for verdict in old["verdicts"]]
    for mine, theirs in zip(new["effects"], old["effects"], strict=True):
        assert (mine["level"], mine["on"]) == (theirs["level"], theirs["on"])
        assert mine["value"]["value"] == pytest.approx(theirs["value"]["value"], abs=NEAR)


@pytest.mark.parametrize("page", sorted(STUDIES.glob("*/results.md")), ids=lambda path: path.parent.name)
def test_every_page_holds_the_numbers_of_its_results(page: Path) -> None:
    from raddino_cli.studies.study import load_study, to_toml

    results = json.loads((page.parent / "results.json").read_text())
    text = page.read_text()
    for verdict in results["verdicts"]:
        assert verdict["sentence"] in text
    for effect in results["effects"]:
        if effect["difference"]:
            assert f"{effect['difference']['value']:+.3f}" in text
    study = load_study(str(page.parent / "study.toml"))
    assert to_toml(study).strip() in text
    for name in re.findall(r"\]\(([^)]+\.svg)\)", text):
        assert (page.parent / name).exists()
