"""Does each package work alone? Build its wheel, install it into a fresh environment, run its tests there.

python tools/isolation.py [--only cxr-io]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import release

# What a package may bring along; anything else of ours in its environment is a failure.
ALLOWED = {"raddino-encoders": {"ssl-core"}}
NO_TORCH = {"cxr-io", "cxr-phantom", "raddino-probes", "raddino-reportgen"}
APPLICATION = "raddino-cli"
_PYTEST_INI = """[pytest]
addopts = --import-mode=importlib -q --strict-markers -p no:cacheprovider
filterwarnings = error
timeout = 600
markers =
    slow: takes more than ten seconds
    gpu: needs a CUDA device
"""


def check(folder: Path, wheels: Path, ours: set[str]) -> str | None:
    """What is wrong with a package alone, or None."""
    name = release.distribution_name(folder)
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as place:
        venv, tests = Path(place) / "venv", Path(place) / "tests"
        python = venv / "bin" / "python"
        _run("uv", "venv", "--quiet", "--python", sys.executable, str(venv))
        wheel = next(wheels.glob(f"{name.replace('-', '_')}-{release.current_version(folder)}-*.whl"))
        extras = ["pytest-timeout", "jaxtyping", "beartype"]
        _install(python, wheels, f"{wheel}[test]", *extras)
        installed = set(subprocess.check_output([_uv(), "pip", "freeze", "--python", str(python)], text=True).split())
        names = {line.split("==")[0] for line in installed}
        strangers = (names & ours) - {name} - ALLOWED.get(name, set())
        if name != APPLICATION and strangers:
            return f"brings {', '.join(sorted(strangers))} along"
        if name in NO_TORCH and "torch" in names:
            return "brings torch along"
        shutil.copytree(folder / "tests", tests / "tests")
        shutil.copy(folder / "README.md", tests)
        if (folder / "CHANGELOG.md").exists():
            shutil.copy(folder / "CHANGELOG.md", tests)
        (tests / "pytest.ini").write_text(_PYTEST_INI)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment["PATH"] = f"{venv / 'bin'}{os.pathsep}{environment['PATH']}"
        done = subprocess.run([str(python), "-m", "pytest", "tests"], cwd=tests, env=environment, check=False)
        return f"tests failed ({done.returncode})" if done.returncode else None


def _install(python: Path, wheels: Path, *what: str) -> None:
    constraints = release.ROOT / "constraints.txt"
    options = ["--python", str(python), "--constraints", str(constraints), "--find-links", str(wheels)]
    _run("uv", "pip", "install", "--quiet", *options, *what)


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else "uv"


def _run(program: str, *arguments: str) -> None:
    subprocess.run([_uv() if program == "uv" else program, *arguments], check=True)


def main() -> None:
    """Check every package, or one; exit 1 if any fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="a package; may be repeated")
    arguments = parser.parse_args()
    folders = sorted(path.parent for path in release.ROOT.glob("*/*/pyproject.toml"))
    ours = {release.distribution_name(folder) for folder in folders}
    if arguments.only:
        chosen = [release.find_package(release.ROOT, name) for name in arguments.only]
    else:
        chosen = folders
    failed = False
    with tempfile.TemporaryDirectory(prefix="wheels-") as wheels:
        for folder in folders:
            release.build_wheel(folder, Path(wheels))
        for folder in chosen:
            start = time.monotonic()
            problem = check(folder, Path(wheels), ours)
            failed |= problem is not None
            print(f"{folder.name:<14} {time.monotonic() - start:6.1f} s  {problem or 'works alone'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
