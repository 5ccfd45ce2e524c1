"""tools/check_golden.py tells numbers that equal the reference's from numbers that don't."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = next((p / "shared" / "golden" for p in ROOT.parents if (p / "shared" / "golden").is_dir()), None)


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "check_golden.py"), str(folder)], capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.skipif(GOLDEN is None, reason="shared/golden, the reference's numbers, is not here")
def test_every_number_agrees_and_one_that_is_changed_is_named(tmp_path: Path) -> None:
    assert GOLDEN is not None
    done = check(GOLDEN)
    assert done.returncode == 0, done.stdout
    assert "FAILS" not in done.stdout
    shutil.copytree(GOLDEN, tmp_path / "golden", copy_function=shutil.copyfile)
    (tmp_path / "golden").chmod(0o755)
    path = tmp_path / "golden" / "koleo.json"
    case = json.loads(path.read_text())
    case["cases"]["random"]["loss_float64"] += 1e-5
    path.write_text(json.dumps(case))
    done = check(tmp_path / "golden")
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines() if "FAILS" in line and "worst random" in line] == [
        "koleo", "koleo",
    ]  # fmt: skip


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 2
    assert "expected a folder of golden vectors" in done.stderr
