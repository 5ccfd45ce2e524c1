"""Facts about the repository as a whole: what each package holds, what it imports, what is never committed."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for place in ("packages", "apps") for path in ROOT.glob(f"{place}/*/pyproject.toml"))
IMPORTS = {next(p.parent for p in (folder / "src").glob("*/__init__.py")).name: folder for folder in PACKAGES}
MAY_IMPORT = {"raddino_encoders": {"ssl_core"}, "raddino_cli": set(IMPORTS)}
# A path of one machine, or the address of a package registry or mirror.
PLACE = re.compile(
    r"(?<![\w.~])/(work|tmp|home|root|opt|Users)/\w|(pypi|pythonhosted)\.\w|--(extra-)?index-url|/simple/"
)


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def imported(source: str) -> set[str]:
    """The top-level names of every absolute import in a module, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_there_are_eight_packages() -> None:
    assert {folder.name for folder in PACKAGES} == {
        "cxr-io", "cxr-phantom", "encoders", "probes", "raddino", "reportgen", "seg", "ssl-core",
    }  # fmt: skip


def test_the_licence_is_apache() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    for folder in PACKAGES:
        assert tomllib.loads((folder / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: path.name)
def test_a_package_says_what_it_is_and_what_changed(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    readme = (folder / "README.md").read_text()
    assert re.search(rf"^pip install '?{re.escape(project['name'])}\b", readme, re.MULTILINE)
    assert "Research software, not a medical device." in " ".join(readme.split())
    assert re.search(rf"^## {re.escape(project['version'])}(\s|$)", (folder / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: path.name)
def test_a_package_is_typed_and_has_tests(folder: Path) -> None:
    assert list((folder / "tests").glob("test_*.py"))
    assert list((folder / "src").glob("*/py.typed"))


@pytest.mark.parametrize("package", IMPORTS)
def test_packages_do_not_import_each_other(package: str) -> None:
    siblings = set(IMPORTS) - {package} - MAY_IMPORT.get(package, set())
    sources = list((IMPORTS[package] / "src").rglob("*.py"))
    assert sources
    for path in sources:
        strangers = imported(path.read_text()) & siblings
        assert not strangers, f"{path.relative_to(ROOT)} imports {', '.join(sorted(strangers))}"


def test_an_import_is_seen_wherever_it_stands() -> None:
    source = "import seg.a as b\nfrom . import c\nfrom .d import e\ndef f():\n    from probes.g import h\n"
    assert imported(source) == {"seg", "probes"}


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for place in (*PACKAGES, ROOT) for path in (place / "tests").glob("test_*.py")]
    assert len(names) == len(set(names))


def test_nothing_tracked_is_larger_than_a_megabyte() -> None:
    assert [path for path in tracked() if path.stat().st_size > 1_000_000] == []


def test_nothing_tracked_speaks_of_one_machine_or_a_registry() -> None:
    found = []
    for path in tracked():
        if path != Path(__file__):  # which has the patterns
            for line in path.read_bytes().decode(errors="ignore").splitlines():
                found += [f"{path.relative_to(ROOT)}: {line.strip()[:200]}"] if PLACE.search(line) else []
    assert found == []
