"""Facts about `raddino report` on text files."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]
TRUTH = "Left effusion.\nNo edema.\n\nRib fracture.\n"


def test_any_systems_reports_are_scored_from_two_text_files(raddino: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TRUTH)
    (tmp_path / "b.txt").write_text("Left effusion.\n\nNodule.\nNodule.\n")
    command = ["report", "evaluate", "--references", tmp_path / "a.txt", "--candidates", tmp_path / "b.txt"]
    found = json.loads(raddino(*command, "--json").stdout)
    assert found["pairs"] == 3
    assert found["counts"] == {"empty references, left out": 1, "empty candidates": 1}
    assert found["systems"]["candidates"]["omission"]["value"] == 0.5
    assert found["findings"]["Fracture"]["omission"]["value"] == 1
    shown = raddino(*command).stdout
    assert "rouge_l" in shown
    assert "1 empty candidates" in shown


def test_unequal_files_are_refused_by_name(raddino: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TRUTH)
    (tmp_path / "b.txt").write_text("Left effusion.\n")
    command = ["report", "evaluate", "--references", tmp_path / "a.txt", "--candidates", tmp_path / "b.txt"]
    done = raddino(*command)
    assert done.returncode == 1
    assert "b.txt" in done.stderr
    assert "got 1 and 4" in done.stderr
    (tmp_path / "a.txt").write_text("\n")
    assert "found none" in raddino(*command).stderr
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    assert "UTF-8" in raddino(*command).stderr


def test_it_scores_features_or_files_and_not_both(raddino: Run, tmp_path: Path) -> None:
    assert raddino("report", "evaluate").returncode == 2
    assert raddino("report", "evaluate", tmp_path, "--references", tmp_path / "a.txt").returncode == 2
