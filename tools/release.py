"""Release one package: bump its version, check its changelog, build its wheel, name its tag; touch no other package.

python tools/release.py ssl-core minor [--dry-run]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class ReleaseError(ValueError):
    """Says what was expected, what came and what to do."""


def find_package(root: Path, name: str) -> Path:
    """The folder of a package by its own name or its distribution's."""
    folders = {path.parent.name: path.parent for path in root.glob("*/*/pyproject.toml")}
    by_distribution = {distribution_name(folder): folder for folder in folders.values()}
    found = folders.get(name) or by_distribution.get(name)
    if found is None:
        raise ReleaseError(f"expected a package of {', '.join(sorted(folders))}; got {name!r}")
    return found


def distribution_name(folder: Path) -> str:
    """The name under which a package is published."""
    return _field(folder, "name")


def current_version(folder: Path) -> str:
    """The version in a package's pyproject.toml."""
    return _field(folder, "version")


def next_version(current: str, change: str) -> str:
    """`major`, `minor` or `patch` after the current version, or the version given, which must be later."""
    numbers = [int(part) for part in current.split(".")]
    if change in ("major", "minor", "patch"):
        at = ("major", "minor", "patch").index(change)
        return ".".join(map(str, [*numbers[:at], numbers[at] + 1, *[0] * (2 - at)]))
    if not re.fullmatch(r"\d+\.\d+\.\d+", change):
        raise ReleaseError(f"expected major, minor, patch or a version such as 1.2.3; got {change!r}")
    if [int(part) for part in change.split(".")] < numbers:
        raise ReleaseError(f"expected a version from {current} on, got {change}")
    return change


def check_changelog(folder: Path, version: str) -> None:
    """The changelog starts with a section of this version that says something, breaking changes first."""
    text = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.split(r"(?m)^## ", text)[1:]
    if not sections or not re.match(rf"{re.escape(version)}(\s|$)", sections[0]):
        first = sections[0].splitlines()[0] if sections else "no section"
        raise ReleaseError(
            f"expected CHANGELOG.md of {folder.name} to start with '## {version}', got {first!r}; write it"
        )
    body = sections[0].split("\n", 1)[1]
    if not re.search(r"(?m)^- \S", body):
        raise ReleaseError(
            f"expected at least one '- ' line under {version} in CHANGELOG.md of {folder.name}, got none"
        )
    headings = re.findall(r"(?m)^### (.+)$", body)
    if "Breaking" in headings[1:]:
        raise ReleaseError(
            f"expected '### Breaking' first under {version} in CHANGELOG.md, got it after {headings[0]!r}"
        )


def set_version(folder: Path, version: str) -> None:
    """Write the version into the package's pyproject.toml, and nothing else."""
    path = folder / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', text, count=1), encoding="utf-8")


def build_wheel(folder: Path, out: Path) -> Path:
    """Build the wheel with the backend that is installed here."""
    before = set(out.glob("*.whl"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"expected the wheel of {folder.name} to build: {done.stdout[-800:]}{done.stderr[-800:]}")
    named = re.findall(r"built (\S+\.whl)", done.stdout)
    return out / named[-1] if named else next(iter(set(out.glob("*.whl")) - before))


def release(root: Path, name: str, change: str, *, dry_run: bool = False) -> str:
    """Do all of it; returns the tag. With `dry_run` nothing is written."""
    folder = find_package(root, name)
    version = next_version(current_version(folder), change)
    check_changelog(folder, version)
    tag = f"{distribution_name(folder)}-v{version}"
    if not dry_run:
        previous = current_version(folder)
        set_version(folder, version)
        try:
            build_wheel(folder, root / "dist")
        except ReleaseError:
            set_version(folder, previous)
            raise
    return tag


def _field(folder: Path, name: str) -> str:
    match = re.search(rf'(?m)^{name} = "(.+)"$', (folder / "pyproject.toml").read_text(encoding="utf-8"))
    if match is None:
        raise ReleaseError(f'expected a line {name} = "..." in pyproject.toml of {folder.name}')
    return match[1]


def main() -> None:
    """Parse the command line; an error is one line and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", help="folder or distribution, such as ssl-core")
    parser.add_argument("change", help="major, minor, patch or a version")
    parser.add_argument("--dry-run", action="store_true", help="check and name the tag; write nothing")
    arguments = parser.parse_args()
    try:
        tag = release(ROOT, arguments.package, arguments.change, dry_run=arguments.dry_run)
    except ReleaseError as error:
        sys.exit(f"error: {error}")
    print(tag)
    if not arguments.dry_run:
        print(f"git commit -am 'Release {tag}' && git tag {tag}")


if __name__ == "__main__":
    main()
