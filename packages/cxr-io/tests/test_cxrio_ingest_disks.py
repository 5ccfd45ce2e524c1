"""Facts about ingest whose disks fail: full, read-only, gone."""

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cxr_io
import pytest

Take = Callable[..., cxr_io.IngestSummary]
Content = Callable[[Path], dict[str, bytes]]
Large = tuple[Path, dict[str, bytes]]
Small = tuple[Path, Path]


def test_a_file_that_may_grow_no_more_stops_it_with_one_sentence(
    take: Take, content: Content, start: type[Any], sound: Callable[[Path], None], large: Large, tmp_path: Path
) -> None:
    source, whole = large
    limit = (20_000, resource.RLIM_INFINITY)
    process = start(source, tmp_path / "out", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert "File too large" in process.ended()
    sound(tmp_path / "out")
    take(source, tmp_path / "out")
    assert content(tmp_path / "out") == whole


def mount(*words: object) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine does not let one mount: {done.stderr.strip()}")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder to mount on, which is unmounted afterwards."""
    place = tmp_path / "mounted"
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount program here")
    yield place
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


def test_a_full_disk_stops_it_with_one_sentence(
    take: Take, content: Content, sound: Callable[[Path], None], large: Large, mounted: Path
) -> None:
    source, whole = large
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", mounted)
    with pytest.raises(cxr_io.CxrError, match=r"No space left on device.*run again"):
        take(source, mounted / "out")
    sound(mounted / "out")
    mount("-o", "remount,size=64m", mounted)
    take(source, mounted / "out")
    assert content(mounted / "out") == whole


def test_a_target_that_is_read_only_is_one_sentence(take: Take, small: Small, mounted: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(cxr_io.CxrError, match="expected to write under"):
        take(small[0], tmp_path / "file" / "out")
    mount("-t", "tmpfs", "-o", "ro", "tmpfs", mounted)
    with pytest.raises(cxr_io.CxrError, match="Read-only file system"):
        take(small[0], mounted / "out")


def test_a_source_that_vanishes_is_not_an_archive_of_missing_files(
    take: Take, content: Content, start: type[Any], large: Large, tmp_path: Path
) -> None:
    whole = large[1]
    source, away = tmp_path / "source", tmp_path / "away"
    shutil.copytree(large[0], source)
    process = start(source, tmp_path / "out")
    process.until(lambda: list((tmp_path / "out").glob("*.tar")))
    source.rename(away)
    said = process.ended()
    assert "bring it back and run again" in said
    assert "missing_file" not in (tmp_path / "out.rejected.jsonl").read_text()
    away.rename(source)
    take(source, tmp_path / "out")
    assert content(tmp_path / "out") == whole
