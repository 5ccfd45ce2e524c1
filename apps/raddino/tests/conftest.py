"""How the tests call the command: as a process, the way people do."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def raddino() -> Run:
    command = Path(sys.executable).parent / "raddino"

    def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
        return subprocess.run(
            [str(command), *map(str, words)], capture_output=True, text=True, check=False, cwd=cwd, env=environment
        )

    return run
