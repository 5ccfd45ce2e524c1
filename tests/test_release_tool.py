"""Facts about releasing one package: the tool itself, run in a git repository that holds copies of two."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def git(place: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *arguments], cwd=place, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository with two packages at 0.1.0, the tool and nothing else."""
    for name in ("seg", "reportgen"):
        folder = tmp_path / "packages" / name
        folder.mkdir(parents=True)
        shutil.copytree(ROOT / "packages" / name / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / "packages" / name / file, folder)
        (folder / "CHANGELOG.md").write_text("# Changelog\n\n## 0.1.0\n\n- First.\n")
        project = folder / "pyproject.toml"
        text = project.read_text().splitlines()
        project.write_text("\n".join('version = "0.1.0"' if x.startswith("version =") else x for x in text) + "\n")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "release.py", tmp_path / "tools")
    (tmp_path / ".gitignore").write_text("dist/\n__pycache__/\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "Start")
    return tmp_path


def note(copy: Path, text: str) -> None:
    """Commit a changelog of seg that starts with this text."""
    path = copy / "packages" / "seg" / "CHANGELOG.md"
    path.write_text(path.read_text().replace("## 0.1.0", f"{text}\n\n## 0.1.0", 1))
    git(copy, "commit", "--quiet", "-am", "Note")


def release(copy: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(copy / "tools" / "release.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def changed(copy: Path) -> list[str]:
    return git(copy, "status", "--porcelain", "--untracked-files=all").splitlines()


def test_a_release_bumps_builds_and_names_one_package_alone(copy: Path) -> None:
    note(copy, "## 0.2.0\n\n### Breaking\n\n- Less.\n\n### Added\n\n- More.")
    done = release(copy, "seg", "minor")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "raddino-seg-v0.2.0"
    assert changed(copy) == [" M packages/seg/pyproject.toml"]
    difference = [
        x for x in git(copy, "diff", "--unified=0").splitlines() if x[0] in "+-" and x[:3] not in ("+++", "---")
    ]
    assert difference == ['-version = "0.1.0"', '+version = "0.2.0"']
    (wheel,) = (copy / "dist").glob("*.whl")
    assert wheel.name == "raddino_seg-0.2.0-py3-none-any.whl"
    assert "raddino_seg/__init__.py" in zipfile.ZipFile(wheel).namelist()


def test_the_commands_it_prints_commit_and_tag_that_package_alone(copy: Path) -> None:
    note(copy, "## 0.1.1\n\n- More.")
    (copy / "packages" / "reportgen" / "README.md").write_text("work in progress\n")
    _, commit, tag, push = release(copy, "seg", "patch").stdout.splitlines()
    for command in (commit, tag):
        git(copy, "config", "user.name", "test")
        git(copy, "config", "user.email", "test@example.org")
        subprocess.run(command, shell=True, cwd=copy, check=True, capture_output=True)
    assert push.split() == ["git", "push", "origin", "HEAD", "raddino-seg-v0.1.1"]
    assert git(copy, "tag", "--points-at", "HEAD").split() == ["raddino-seg-v0.1.1"]
    assert changed(copy) == [" M packages/reportgen/README.md"]


def test_a_dry_run_prints_the_same_and_writes_nothing(copy: Path) -> None:
    note(copy, "## 0.1.1\n\n- More.")
    dry = release(copy, "raddino-seg", "patch", "--dry-run")
    assert changed(copy) == []
    assert not (copy / "dist").exists()
    assert dry.stdout == release(copy, "seg", "0.1.1").stdout


def test_the_first_release_keeps_its_version(copy: Path) -> None:
    assert release(copy, "seg", "0.1.0").stdout.startswith("raddino-seg-v0.1.0\n")
    assert changed(copy) == []


def test_another_tables_version_is_left_alone(copy: Path) -> None:
    path = copy / "packages" / "seg" / "pyproject.toml"
    path.write_text('[tool.other]\nversion = "9"\n\n' + path.read_text())
    note(copy, "## 1.0.0\n\n- More.")
    assert release(copy, "seg", "major").returncode == 0
    assert path.read_text().startswith('[tool.other]\nversion = "9"\n')
    assert 'version = "1.0.0"' in path.read_text()


def test_a_wheel_that_does_not_build_leaves_the_version_as_it_was(copy: Path) -> None:
    note(copy, "## 0.2.0\n\n- More.")
    shutil.rmtree(copy / "packages" / "seg" / "src")
    git(copy, "commit", "--quiet", "-am", "Lose the source")
    done = release(copy, "seg", "minor")
    assert done.returncode == 1
    assert "expected the wheel of seg to build" in done.stderr
    assert changed(copy) == []


@pytest.mark.parametrize(
    ("text", "change", "message"),
    [
        ("", "minor", "start with '## 0.2.0', got '0.1.0'"),
        ("## 0.2.0 (unreleased)\n\n- A.", "minor", "remove the remark"),
        ("## 0.2.0\n", "minor", "at least one '- ' line"),
        ("## 0.2.0\n\n### Added\n\n- A.\n\n### Breaking\n\n- B.", "minor", "'### Breaking' first"),
        ("## 0.2.0\n\n- A.\n\n### Breaking\n\n- B.", "minor", "'### Breaking' first"),
        ("", "0.0.9", "a version from 0.1.0 on, got 0.0.9"),
        ("", "big", "expected major, minor, patch or a version such as 1.2.3; got 'big'"),
    ],
)
def test_what_is_not_ready_is_one_line_and_nothing_changes(copy: Path, text: str, change: str, message: str) -> None:
    if text:
        note(copy, text)
    done = release(copy, "seg", change)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert changed(copy) == []


def test_an_unknown_package_is_answered_with_those_there_are(copy: Path) -> None:
    assert "expected a package of reportgen, seg; got 'nothing'" in release(copy, "nothing", "minor").stderr
