"""Release one package: bump its version, check its changelog, build its wheel, name its tag; touch no other package.

python tools/release.py ssl-core minor [--dry-run]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class ReleaseError(ValueError):
    """Says what was expected, what came and what to do."""


def packages(root: Path) -> list[Path]:
    """The folders of all packages and apps below the root of the repository."""
    return sorted(path.parent for place in ("packages", "apps") for path in root.glob(f"{place}/*/pyproject.toml"))


def find_package(root: Path, name: str) -> Path:
    """The folder of a package by its own name or its distribution's."""
    folders = packages(root)
    for folder in folders:
        if name in (folder.name, distribution_name(folder)):
            return folder
    raise ReleaseError(f"expected a package of {', '.join(folder.name for folder in folders)}; got {name!r}")


def project(folder: Path) -> dict[str, Any]:
    """The `[project]` table of a package's pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    for key in ("name", "version"):
        if not isinstance(table.get(key), str):
            raise ReleaseError(f'expected {key} = "..." under [project] in pyproject.toml of {folder.name}, got none')
    return table


def distribution_name(folder: Path) -> str:
    """The name under which a package is published."""
    return str(project(folder)["name"])


def current_version(folder: Path) -> str:
    """The version in a package's pyproject.toml."""
    return str(project(folder)["version"])


def next_version(current: str, change: str) -> str:
    """`major`, `minor` or `patch` after the current version, or the version given, which must not be earlier.

    The current version itself may be given: that is how a package's first release is made.
    """
    numbers = _numbers(current)
    if change in ("major", "minor", "patch"):
        at = ("major", "minor", "patch").index(change)
        return ".".join(map(str, [*numbers[:at], numbers[at] + 1, *[0] * (2 - at)]))
    try:
        wanted = _numbers(change)
    except ReleaseError:
        raise ReleaseError(f"expected major, minor, patch or a version such as 1.2.3; got {change!r}") from None
    if wanted < numbers:
        raise ReleaseError(f"expected a version from {current} on, got {change}")
    return change


def _numbers(version: str) -> list[int]:
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        raise ReleaseError(f"expected a version such as 1.2.3, got {version!r}")
    return [int(part) for part in version.split(".")]


def check_changelog(folder: Path, version: str) -> None:
    """The changelog starts with a section of this version that says something, breaking changes first."""
    where = f"CHANGELOG.md of {folder.name}"
    path = folder / "CHANGELOG.md"
    if not path.exists():
        raise ReleaseError(f"expected {where}, got no such file; write it with a section '## {version}'")
    sections = re.split(r"(?m)^## ", path.read_text(encoding="utf-8"))[1:]
    title, _, body = sections[0].partition("\n") if sections else ("no section", "", "")
    if title.split()[0:1] != [version]:
        raise ReleaseError(f"expected {where} to start with '## {version}', got {title!r}; write that section")
    if "unreleased" in title.lower():
        raise ReleaseError(f"expected '## {version}' in {where}, got {title!r}; remove the remark to release it")
    if not re.search(r"(?m)^- \S", body):
        raise ReleaseError(f"expected at least one '- ' line under {version} in {where}, got none; say what changed")
    # Anything before the heading counts, a bullet as much as another heading: who upgrades reads from the top.
    before, breaking, _ = body.partition("### Breaking")
    if breaking and before.strip():
        first = before.strip().splitlines()[0]
        raise ReleaseError(f"expected '### Breaking' first under {version} in {where}, got {first!r}; move it up")


def set_version(folder: Path, version: str) -> None:
    """Write the version into the `[project]` table of the package's pyproject.toml, and nothing else."""
    path = folder / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    # Up to the line, within [project]: another table may have a key of this name.
    pattern = r'(?ms)(^\[project\]\n(?:(?!^\[).)*?^version\s*=\s*)"[^"\n]*"'
    path.write_text(re.sub(pattern, rf'\g<1>"{version}"', text, count=1), encoding="utf-8")
    if current_version(folder) != version:
        path.write_text(text, encoding="utf-8")
        raise ReleaseError(f'expected a line version = "..." under [project] in pyproject.toml of {folder.name}')


def build_wheel(folder: Path, out: Path) -> Path:
    """Build a package's wheel into a folder, with the backend that is installed beside this interpreter."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(out.glob(f"{distribution_name(folder).replace('-', '_')}-{current_version(folder)}-*.whl"))
    if done.returncode or not wheels:
        said = (done.stdout + done.stderr).strip()[-1500:]
        raise ReleaseError(f"expected the wheel of {folder.name} to build, got exit code {done.returncode}:\n{said}")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        empty = not any(name.endswith("/__init__.py") for name in wheel.namelist())
    if empty:  # the backend is content with a package whose source is gone
        wheels[-1].unlink()
        raise ReleaseError(f"expected the wheel of {folder.name} to build with modules, got none; look at its src")
    return wheels[-1]


def release(root: Path, name: str, change: str, *, dry_run: bool = False) -> tuple[str, list[str]]:
    """Do all of it; returns the tag and the commands that remain. With `dry_run` nothing is written."""
    folder = find_package(root, name)
    previous = current_version(folder)
    version = next_version(previous, change)
    check_changelog(folder, version)
    tag = f"{distribution_name(folder)}-v{version}"
    if not dry_run:
        set_version(folder, version)
        try:
            build_wheel(folder, root / "dist")
        except BaseException:  # also on Ctrl-C: a version without a wheel would look released
            set_version(folder, previous)
            raise
    # Named paths, not `commit -a`: work in progress in another package stays out of the release.
    place = folder.relative_to(root).as_posix()
    commit = f"git commit -m 'Release {tag}' -- {place}/pyproject.toml {place}/CHANGELOG.md"
    return tag, [commit, f"git tag {tag}", f"git push origin HEAD {tag}"]


def main() -> None:
    """Parse the command line; an error is one line and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", help="folder or distribution, such as ssl-core")
    parser.add_argument("change", help="major, minor, patch or a version such as 1.2.3")
    parser.add_argument("--dry-run", action="store_true", help="check, name the tag and the commands; write nothing")
    arguments = parser.parse_args()
    try:
        tag, commands = release(ROOT, arguments.package, arguments.change, dry_run=arguments.dry_run)
    except ReleaseError as error:
        sys.exit(f"error: {error}")
    print(tag, *(f"  {command}" for command in commands), sep="\n")


if __name__ == "__main__":
    main()
