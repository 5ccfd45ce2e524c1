"""Facts about releasing one package, on a copy of two."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["release"] = module
    spec.loader.exec_module(module)
    return module


release = load()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("seg", "reportgen"):
        shutil.copytree(ROOT / "packages" / name, tmp_path / "packages" / name)
    return tmp_path


def note(copy: Path, text: str) -> None:
    path = copy / "packages" / "seg" / "CHANGELOG.md"
    path.write_text(path.read_text().replace("## 0.1.0", f"{text}\n\n## 0.1.0", 1))


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_release_bumps_builds_and_names_one_package_alone(copy: Path) -> None:
    note(copy, "## 0.2.0\n\n- More.")
    before = snapshot(copy / "packages" / "reportgen")
    assert release.release(copy, "seg", "minor") == "raddino-seg-v0.2.0"
    assert release.current_version(copy / "packages" / "seg") == "0.2.0"
    assert [path.name for path in (copy / "dist").glob("*.whl")] == ["raddino_seg-0.2.0-py3-none-any.whl"]
    assert snapshot(copy / "packages" / "reportgen") == before


def test_a_dry_run_writes_nothing(copy: Path) -> None:
    note(copy, "## 0.1.1\n\n- More.")
    before = snapshot(copy)
    assert release.release(copy, "raddino-seg", "patch", dry_run=True) == "raddino-seg-v0.1.1"
    assert snapshot(copy) == before


@pytest.mark.parametrize(
    ("text", "change", "message"),
    [
        ("", "minor", "start with '## 0.2.0'"),
        ("## 0.2.0\n", "minor", "at least one"),
        ("## 0.2.0\n\n### Added\n\n- A.\n\n### Breaking\n\n- B.", "minor", "'### Breaking' first"),
        ("", "0.0.9", "from 0.1.0 on"),
        ("", "big", "major, minor, patch"),
    ],
)
def test_what_is_not_ready_is_refused_and_unchanged(copy: Path, text: str, change: str, message: str) -> None:
    if text:
        note(copy, text)
    before = snapshot(copy)
    with pytest.raises(release.ReleaseError, match=message):
        release.release(copy, "seg", change)
    assert snapshot(copy) == before


def test_an_unknown_package_is_named(copy: Path) -> None:
    with pytest.raises(release.ReleaseError, match="reportgen, seg"):
        release.release(copy, "nothing", "minor")
