"""How the tests call the command: as a process of its own.

To import torch takes seconds, so each process is forked from one that has imported what commands need, and done nothing
else. Tests that send signals start the installed script.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
IMPORTED = [
    "cxr_io",
    "raddino_cli.main",
    "raddino_encoders",
    "raddino_probes",
    "raddino_reportgen",
    "raddino_seg",
    "ssl_core",
]


def command(words: list[str], cwd: Path | None, environment: Mapping[str, str], out: Path, err: Path) -> None:
    """In the new process: become `raddino WORDS`."""
    from raddino_cli.main import main

    os.environ.clear()
    os.environ.update(environment)
    if cwd is not None:
        os.chdir(cwd)
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
    sys.argv = ["raddino", *words]
    main()


@pytest.fixture(scope="session")
def raddino(tmp_path_factory: pytest.TempPathFactory) -> Run:
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload(IMPORTED)
    place = tmp_path_factory.mktemp("streams")

    def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
        out, err = place / "out", place / "err"
        for stream in (out, err):
            stream.unlink(missing_ok=True)
        line = list(map(str, words))
        process = started.Process(target=command, args=(line, cwd, environment, out, err))
        process.start()
        process.join()
        return subprocess.CompletedProcess(line, process.exitcode or 0, out.read_text(), err.read_text())

    return run
