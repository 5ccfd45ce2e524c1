"""The guides' own lines run, in their order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
LEAVES = {
    "archive-engineer": "shards/index.json",
    "cxr-lab": "runs/first/encoder/README.md",
    "other-modality": "runs/mri/encoder/model.safetensors",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in sorted(GUIDES.glob("*.md"))])
def test_a_guide_runs_as_it_is_written(name: str, tmp_path: Path) -> None:
    text = (GUIDES / f"{name}.md").read_text()
    folder = Path(sys.executable).parent
    for kind, code in re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL):
        words = ["sh", "-ec", code] if kind == "sh" else [sys.executable, "-c", code]
        environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / LEAVES[name]).is_file()
