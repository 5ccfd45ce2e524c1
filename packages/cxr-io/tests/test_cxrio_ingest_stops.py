"""Facts about ingest that is stopped: by kills, crashes, full disks, vanished mounts, and by whoever runs it."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from cxr_io._convert import Settings
from cxr_io._ingest import _outcomes, _Shards
from cxr_io._journal import Journal
from cxr_io._pool import Pool
from cxr_io.datasets import list_items
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KEY = "a key for these tests"
SCRIPT = (
    "import sys, cxr_io\n"
    "cxr_io.ingest(sys.argv[1], sys.argv[2], short_side=64, samples_per_shard=4, key=sys.argv[3], workers=2)"
)


def archive(root: Path, count: int, side: int = 40) -> Path:
    """Images of two patients each, a third with a mask and a report, and every ninth one damaged."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    lines = ["path,patient,opacity,mask.lungs,report"]
    for i in range(count):
        cv2.imwrite(str(root / f"{i:03d}.png"), rng.integers(0, 65535, (side, side + 7), dtype=np.uint16))
        more = ","
        if i % 3 == 0:
            cv2.imwrite(str(root / f"m{i}.png"), (rng.random((side, side + 7)) > 0.5).astype(np.uint8))
            (root / f"r{i}.txt").write_text(f"FINDINGS: case {i}")
            more = f"m{i}.png,r{i}.txt"
        if i % 9 == 4:
            (root / f"{i:03d}.png").write_bytes(b"damaged")
        lines.append(f"{i:03d}.png,p{i // 2},{i % 2},{more}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def take(source: Path, out: Path, **options: object) -> cxr_io.IngestSummary:
    return cxr_io.ingest(source, out, **{"short_side": 64, "samples_per_shard": 4, "key": KEY, "workers": 0, **options})  # type: ignore[arg-type]


def content(out: Path) -> dict[str, bytes]:
    """Everything that an ingest leaves but its journal."""
    names = out.with_name(out.name + ".rejected.jsonl")
    return {path.name.removeprefix(out.name): path.read_bytes() for path in [*out.iterdir(), names] if path.is_file()}


def start(source: Path, out: Path, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(source), str(out), KEY]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload, no-any-return]


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something to happen while a process lives."""
    while not condition() and process.poll() is None:
        time.sleep(0.002)


def ended(process: subprocess.Popen[str], seconds: float = 60) -> str:
    """Wait for the end; what the process had to say."""
    _, said = process.communicate(timeout=seconds)
    return said


def children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, above = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        found += [int(path.parent.name)] if int(above) == parent and state != "Z" else []
    return found


def sound(out: Path) -> None:
    """Whatever is called a shard and noted in the journal is whole."""
    for note in (out / ".journal").glob("*.tar.json"):
        shard = json.loads(note.read_text())["shard"]
        assert sha256((out / shard["name"]).read_bytes()).hexdigest() == shard["sha256"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """An archive of a second or two of work for two processes, and what it becomes when nothing goes wrong."""
    place = tmp_path_factory.mktemp("large")
    source = archive(place / "source", 90, 500)
    take(source, place / "whole")
    return source, content(place / "whole")


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_the_same(large: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    source, whole = large
    moments = random.Random(0)
    kills = 0
    for attempt in range(2):
        out = tmp_path / f"out{attempt}"
        for _ in range(4):
            process = start(source, out)
            if moments.random() < 0.8:
                until(lambda out=out: list(out.glob("*.part")), process)  # type: ignore[misc]
            time.sleep(moments.uniform(0, 0.6))
            workers = children(process.pid)
            process.kill()
            ended(process)
            kills += process.returncode == -signal.SIGKILL
            sound(out)
            until_gone(workers)
        process = start(source, out)
        assert not ended(process)
        assert content(out) == whole
    assert kills >= 6


def until_gone(processes: list[int]) -> None:
    """No worker outlives its run by more than the file in its hands."""
    for _ in range(500):
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return
        time.sleep(0.01)
    raise AssertionError(f"expected {processes} to end with their parent")


SMALL = 30


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("small")
    source = archive(place / "source", SMALL)
    take(source, place / "whole")
    return source, place / "whole"


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1), st.floats(0, 1), st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_whatever_is_left_of_a_run_it_ends_the_same(
    small: tuple[Path, Path], tmp_path: Path, items: float, names: float, shards: set[int], notes: set[int]
) -> None:
    source, whole = small
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(whole, out)
    named = shutil.copy2(whole.with_name("whole.rejected.jsonl"), tmp_path / "out.rejected.jsonl")
    for path, kept in ((out / ".journal" / "items", items), (named, names)):
        os.truncate(path, round(kept * path.stat().st_size))
    for pattern, gone in (("*.tar", shards), (".journal/*.tar.json", notes)):
        for number, path in enumerate(sorted(out.glob(pattern))):
            if number in gone:
                path.unlink()
    (out / "train-000000.tar.part").write_bytes(b"half")
    take(source, out)
    assert content(out) == content(whole)


def test_a_second_run_writes_nothing(small: tuple[Path, Path]) -> None:
    source, whole = small
    stamps = {path: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != "rejected.jsonl"}
    summary = take(source, whole)
    assert summary.accepted + summary.rejected == SMALL
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def change_image(source: Path) -> None:
    cv2.imwrite(str(source / "011.png"), np.arange(40 * 40, dtype=np.uint16).reshape(40, 40))


def change_mask(source: Path) -> None:
    cv2.imwrite(str(source / "m12.png"), np.ones((40, 47), np.uint8))


def change_report(source: Path) -> None:
    (source / "r15.txt").write_text("IMPRESSION: another")


def change_table(source: Path) -> None:
    table = source / "labels.csv"
    table.write_text(table.read_text().replace("016.png,p8,0", "016.png,p8,1"))


def mend(source: Path) -> None:
    cv2.imwrite(str(source / "013.png"), np.arange(40 * 40, dtype=np.uint16).reshape(40, 40))


def add(source: Path) -> None:
    shutil.copy(source / "010.png", source / "010b.png")
    table = source / "labels.csv"
    table.write_text(table.read_text() + "010b.png,p5,1,,\n")


def remove(source: Path) -> None:
    table = source / "labels.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if not line.startswith("010")))


@pytest.mark.parametrize("change", [change_image, change_mask, change_report, change_table, mend, add, remove])
def test_an_input_that_changed_is_noticed(
    change: Callable[[Path], None], small: tuple[Path, Path], tmp_path: Path
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(small[0], source)
    take(source, out)
    early = out / "train-000000.tar"
    before, stamp = content(out), early.stat().st_mtime_ns
    change(source)
    take(source, out)
    take(source, tmp_path / "new")
    assert content(out) == content(tmp_path / "new") != before
    assert early.stat().st_mtime_ns == stamp  # of items before the change alone


def test_what_was_taken_and_now_is_not_is_one_sentence(small: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(small[0], source)
    take(source, out)
    next(out.glob("train-*.tar")).unlink()
    for path in source.glob("0*.png"):  # the disk went bad, and no time or size tells of it
        stamp = path.stat()
        path.write_bytes(bytes(stamp.st_size))
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(cxr_io.CxrError, match=r"\.png was taken before and is not now \(expected DICOM"):
        take(source, out)


def test_a_source_that_changes_between_listing_and_reading_is_noticed(small: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(small[0], source)
    take(source, out)
    settings = json.loads((out / ".journal" / "settings.json").read_text())
    del settings["journal"]
    with closing(Journal(out, settings, KEY.encode())) as journal:
        items = list(list_items(source, "csv", None)[1])
        assert journal.compare(items, None) == SMALL
        (source / "r12.txt").write_text("another")
        with Pool(0, Settings(64, 16, "minmax", "png", KEY.encode())) as pool, pytest.raises(cxr_io.CxrError) as caught:
            list(_outcomes(items, journal, _Shards(journal), pool))
        assert "012.png changed" in str(caught.value)


def test_two_runs_at_once_are_refused(large: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    source, whole = large
    process = start(source, tmp_path / "out")
    until(lambda: list((tmp_path / "out").glob("*.part")), process)
    with pytest.raises(cxr_io.CxrError, match="another one is writing"):
        take(source, tmp_path / "out")
    assert not ended(process)
    assert content(tmp_path / "out") == whole


def test_a_worker_that_is_killed_is_replaced(large: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    source, whole = large
    process = start(source, tmp_path / "out")
    until(lambda: list((tmp_path / "out").glob("*.part")), process)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    assert not ended(process)
    assert content(tmp_path / "out") == whole


def test_when_workers_are_killed_again_and_again_it_says_so(
    large: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    source, whole = large
    process = start(source, tmp_path / "out")
    until(lambda: list((tmp_path / "out").glob("*.part")), process)
    while process.poll() is None:
        for child in children(process.pid):
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
    said = ended(process)
    assert "killed from outside" in said or "worker process to start" in said
    take(source, tmp_path / "out")
    assert content(tmp_path / "out") == whole


def test_a_file_that_crashes_its_codec_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = archive(tmp_path / "source", 12)
    victim = source / "002.png"
    victim.write_bytes(victim.read_bytes() + b"CRASH")
    (tmp_path / "site").mkdir()
    # A decoder with a defect: in the workers, and nowhere else, reading such a file ends in a real segmentation fault.
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import ctypes, cxr_io._convert as convert\n"
        "whole = convert.read\n"
        "def read(path, **options):\n"
        "    return ctypes.string_at(0) if path.read_bytes().endswith(b'CRASH') else whole(path, **options)\n"
        "convert.read = read\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    for workers in (1, 2):
        summary = take(source, tmp_path / f"out{workers}", workers=workers)
        assert (summary.accepted, summary.reasons) == (10, {"crashed_codec": 1, "not_an_image": 1})
    assert content(tmp_path / "out1") == content(tmp_path / "out2")
    named = (tmp_path / "out1.rejected.jsonl").read_text()
    assert "002.png" in named
    assert "SIGSEGV" in named


def test_a_worker_that_cannot_start_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = archive(tmp_path / "source", 3)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    with pytest.raises(cxr_io.CxrError, match=r"worker process to start; it ended with code 7"):
        take(source, tmp_path / "out", workers=1)


def test_ctrl_c_ends_it_at_once_and_it_goes_on(large: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    source, whole = large
    # What runs the tests may ignore the signal, and children inherit that.
    process = start(
        source,
        tmp_path / "out",
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: list((tmp_path / "out").glob("*.part")), process)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    since = time.monotonic()
    assert "KeyboardInterrupt" in ended(process)
    assert time.monotonic() - since < 5
    until_gone(workers)
    assert not list((tmp_path / "out").glob("*.part"))
    take(source, tmp_path / "out")
    assert content(tmp_path / "out") == whole


def test_a_file_that_may_grow_no_more_stops_it_with_one_sentence(
    large: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    source, whole = large
    limit = (20_000, resource.RLIM_INFINITY)
    process = start(source, tmp_path / "out", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert "File too large" in ended(process)
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


def test_a_full_disk_stops_it_with_one_sentence(large: tuple[Path, dict[str, bytes]], mounted: Path) -> None:
    source, whole = large
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", mounted)
    with pytest.raises(cxr_io.CxrError, match=r"No space left on device.*run again"):
        take(source, mounted / "out")
    sound(mounted / "out")
    mount("-o", "remount,size=64m", mounted)
    take(source, mounted / "out")
    assert content(mounted / "out") == whole


def test_a_target_that_is_read_only_is_one_sentence(small: tuple[Path, Path], mounted: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(cxr_io.CxrError, match="expected to write under"):
        take(small[0], tmp_path / "file" / "out")
    mount("-t", "tmpfs", "-o", "ro", "tmpfs", mounted)
    with pytest.raises(cxr_io.CxrError, match="Read-only file system"):
        take(small[0], mounted / "out")


def test_a_source_that_vanishes_is_not_an_archive_of_missing_files(
    large: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    whole = large[1]
    source, away = tmp_path / "source", tmp_path / "away"
    shutil.copytree(large[0], source)
    process = start(source, tmp_path / "out")
    until(lambda: list((tmp_path / "out").glob("*.tar")), process)
    source.rename(away)
    said = ended(process)
    assert "bring it back and run again" in said
    assert "missing_file" not in (tmp_path / "out.rejected.jsonl").read_text()
    away.rename(source)
    take(source, tmp_path / "out")
    assert content(tmp_path / "out") == whole
