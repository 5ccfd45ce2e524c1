"""Facts about the repository as a whole."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("*/*/pyproject.toml"))
IMPORTS = {next(p for p in (folder / "src").iterdir() if p.is_dir()).name: folder for folder in PACKAGES}
MAY_IMPORT = {"raddino_encoders": {"ssl_core"}, "raddino_cli": set(IMPORTS)}


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_there_are_eight_packages() -> None:
    assert {folder.name for folder in PACKAGES} == {
        "cxr-io", "cxr-phantom", "encoders", "probes", "raddino", "reportgen", "seg", "ssl-core",
    }  # fmt: skip


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: path.name)
def test_a_package_says_what_it_is_and_what_changed(folder: Path) -> None:
    text = (folder / "pyproject.toml").read_text()
    name, version = (re.findall(rf'(?m)^{key} = "(.+)"$', text)[0] for key in ("name", "version"))
    readme = (folder / "README.md").read_text()
    assert f"pip install {name}" in readme
    assert "not a medical device" in " ".join(readme.split())
    assert "```python" in readme or "```\nraddino" in readme
    assert f"## {version}" in (folder / "CHANGELOG.md").read_text()
    assert list((folder / "tests").glob("test_*.py"))
    assert next((folder / "src").glob("*/py.typed")).exists()


@pytest.mark.parametrize("package", IMPORTS)
def test_packages_do_not_import_each_other(package: str) -> None:
    allowed = {package} | MAY_IMPORT.get(package, set())
    for path in (IMPORTS[package] / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                assert top not in IMPORTS or top in allowed, f"{path.name} imports {top}"


def test_nothing_tracked_is_large_or_speaks_of_one_machine() -> None:
    place = re.compile(r"/(work|tmp|home|root)/\w|https?://[^\s)\"]*(pypi|pythonhosted)")
    for path in tracked():
        data = path.read_bytes()
        assert len(data) < 1_000_000, path
        if path.suffix in (".py", ".md", ".toml", ".txt", ".jinja", ""):
            assert not place.search(data.decode(errors="ignore")), path


def test_files_are_short() -> None:
    for path in tracked():
        if path.suffix == ".py":
            assert len(path.read_text().splitlines()) <= 400, path
