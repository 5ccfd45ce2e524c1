"""Does each package work alone? Its wheel and what it declares in a fresh environment, then its tests there.

python tools/isolation.py [--only cxr-io]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, sys.path starts at tools/

from tools import release

PLACE = release.ROOT / ".isolation"
# Reading radiographs, drawing them and scoring features or texts must not cost a gigabyte of torch.
NO_TORCH = {"cxr-io", "cxr-phantom", "raddino-probes", "raddino-reportgen"}
# The root's pytest settings, less what is the root's alone (testpaths; timeout, which needs a plugin).
PYTEST_INI = """[pytest]
markers =
    slow: takes more than ten seconds; still runs in CI
    gpu: needs a CUDA device
"""
STRICT = (
    "-q",
    "-W",
    "error",
    "--strict-markers",
    "--strict-config",
    "--import-mode=importlib",
    "-p",
    "no:cacheprovider",
)
# A test that hangs must not hold the machine for ever; the slowest package takes minutes.
TIME_LIMIT_S = 1800


class IsolationError(ValueError):
    """What a package alone lacks, brings along or fails at."""


def declared(folder: Path, ours: dict[str, Path]) -> set[str]:
    """Our distributions that a package's wheel with its `test` extra may bring, through all levels, itself excluded."""
    found: set[str] = set()
    waiting = [*_requirements(folder, "test")]
    while waiting:
        name = waiting.pop()
        if name in ours and name not in found:
            found.add(name)
            waiting += _requirements(ours[name])
    return found - {release.distribution_name(folder)}


def _requirements(folder: Path, extra: str | None = None) -> list[str]:
    table = release.project(folder)
    lines = [*table.get("dependencies", [])]
    if extra:
        lines += table.get("optional-dependencies", {}).get(extra, [])
    return [_normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines]


def _normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_strangers(name: str, installed: set[str], allowed: set[str], ours: set[str]) -> None:
    """Refuse an environment in which a package finds a sibling or torch that it doesn't declare."""
    strangers = (installed & ours) - {name} - allowed
    if strangers:
        raise IsolationError(f"brings {', '.join(sorted(strangers))} along, which it doesn't declare")
    if name in NO_TORCH and "torch" in installed:
        raise IsolationError("brings torch along")


def check(folder: Path, wheels: Path, ours: dict[str, Path]) -> None:
    """Install one package's wheel with its `test` extra into a fresh environment and run its tests there.

    `ours` maps each of our distributions to its folder. Raises IsolationError.
    """
    name = release.distribution_name(folder)
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=PLACE) as place:
        python = Path(place) / "venv" / "bin" / "python"
        wheel = next(wheels.glob(f"{name.replace('-', '_')}-{release.current_version(folder)}-*.whl"))
        _uv("venv", "--python", sys.executable, str(python.parents[1]))
        versions = ["--constraints", str(release.ROOT / "constraints.txt"), "--find-links", str(wheels)]
        _uv("pip", "install", "--compile-bytecode", "--python", str(python), *versions, f"{wheel}[test]")
        listed = json.loads(_uv("pip", "list", "--format", "json", "--python", str(python)))
        installed = {_normal(entry["name"]) for entry in listed}
        check_strangers(name, installed, declared(folder, ours), set(ours))
        _run_tests(folder, python)


def _run_tests(folder: Path, python: Path) -> None:
    # Outside the repository, so that no test finds the source or another package by walking up.
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-") as place:
        there = Path(place)
        shutil.copytree(folder / "tests", there / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(folder / "README.md", there)  # whose example is a test
        (there / "pytest.ini").write_text(PYTEST_INI, encoding="utf-8")
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
        command = [str(python), "-m", "pytest", *STRICT, "tests"]
        try:
            done = subprocess.run(command, cwd=there, env=environment, check=False, timeout=TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise IsolationError(f"tests took more than {TIME_LIMIT_S} s") from None
    if done.returncode:
        raise IsolationError(f"tests failed (pytest's exit code {done.returncode})")


def _uv(*arguments: str) -> str:
    beside = Path(sys.executable).parent / "uv"
    program = str(beside) if beside.exists() else shutil.which("uv")
    if program is None:
        raise IsolationError("expected uv beside this interpreter or on PATH, got neither; run `make setup`")
    done = subprocess.run([program, "--quiet", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise IsolationError(f"uv {' '.join(arguments[:2])} failed:\n{done.stderr.strip()[-1500:]}")
    return done.stdout


def main() -> None:
    """Check every package, or those named; print a table; exit 1 if any fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="a package; may be repeated")
    arguments = parser.parse_args()
    ours = {_normal(release.distribution_name(folder)): folder for folder in release.packages(release.ROOT)}
    rows: list[tuple[str, float, str]] = []
    failed = False
    PLACE.mkdir(exist_ok=True)
    try:
        names = arguments.only or [folder.name for folder in ours.values()]
        chosen = [release.find_package(release.ROOT, name) for name in names]
        with tempfile.TemporaryDirectory(prefix="wheels-", dir=PLACE) as wheels:
            for folder in ours.values():
                release.build_wheel(folder, Path(wheels))
            for folder in chosen:
                start = time.monotonic()
                try:
                    check(folder, Path(wheels), ours)
                    result = "works alone"
                except IsolationError as error:
                    result, failed = str(error), True
                rows.append((folder.name, time.monotonic() - start, result))
    except release.ReleaseError as error:
        sys.exit(f"error: {error}")
    finally:
        with contextlib.suppress(OSError):  # not empty: another run is at work
            PLACE.rmdir()
    print(f"\n{'package':<14} {'seconds':>8}  result")
    for name, seconds, result in rows:
        print(f"{name:<14} {seconds:8.1f}  {result}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
