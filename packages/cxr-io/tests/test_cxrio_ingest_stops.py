"""Facts about ingest that is stopped: by kills, crashes, and whoever runs it."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cxr_io
import pytest

Take = Callable[..., cxr_io.IngestSummary]
Content = Callable[[Path], dict[str, bytes]]
Write = Callable[..., Path]
Large = tuple[Path, dict[str, bytes]]


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_the_same(
    content: Content, start: type[Any], sound: Callable[[Path], None], large: Large, tmp_path: Path
) -> None:
    source, whole = large
    moments = random.Random(0)
    kills = 0
    for attempt in range(2):
        out = tmp_path / f"out{attempt}"
        for _ in range(4):
            process = start(source, out)
            if moments.random() < 0.8:
                process.until(lambda out=out: list(out.glob("*.part")))  # type: ignore[misc]
            time.sleep(moments.uniform(0, 0.25))
            workers = process.workers()
            process.kill()
            process.ended()
            kills += process.returncode == -signal.SIGKILL
            sound(out)
            until_gone(workers)
        process = start(source, out)
        assert not process.ended()
        assert content(out) == whole
    assert kills >= 6


def test_a_worker_has_one_thread(start: type[Any], large: Large, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    process = start(large[0], tmp_path / "out", env=environment)
    process.until(lambda: list((tmp_path / "out").glob("*.part")))  # then one has answered
    threads = [len(list(Path(f"/proc/{worker}/task").iterdir())) for worker in process.workers()]
    process.kill()
    process.ended()
    assert max(threads) == 1


def until_gone(processes: list[int]) -> None:
    """No worker outlives its run by more than the file in its hands."""
    for _ in range(500):
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return
        time.sleep(0.01)
    raise AssertionError(f"expected {processes} to end with their parent")


def test_two_runs_at_once_are_refused(
    take: Take, content: Content, start: type[Any], large: Large, tmp_path: Path
) -> None:
    source, whole = large
    process = start(source, tmp_path / "out")
    process.until(lambda: list((tmp_path / "out").glob("*.part")))
    with pytest.raises(cxr_io.CxrError, match="another one is writing"):
        take(source, tmp_path / "out")
    assert not process.ended()
    assert content(tmp_path / "out") == whole


def test_a_worker_that_is_killed_is_replaced(content: Content, start: type[Any], large: Large, tmp_path: Path) -> None:
    source, whole = large
    process = start(source, tmp_path / "out")
    process.until(lambda: list((tmp_path / "out").glob("*.part")))
    os.kill(process.workers()[0], signal.SIGKILL)
    assert not process.ended()
    assert content(tmp_path / "out") == whole


def test_a_worker_that_is_killed_as_it_comes_up_is_started_again(
    content: Content, start: type[Any], large: Large, tmp_path: Path
) -> None:
    source, whole = large
    process = start(source, tmp_path / "out")
    process.until(process.workers)
    os.kill(process.workers()[0], signal.SIGKILL)
    assert not process.ended()
    assert content(tmp_path / "out") == whole


def test_when_workers_are_killed_again_and_again_it_says_so(
    take: Take, content: Content, start: type[Any], large: Large, tmp_path: Path
) -> None:
    source, whole = large
    process = start(source, tmp_path / "out")
    process.until(lambda: list((tmp_path / "out").glob("*.part")))
    while process.poll() is None:
        for child in process.workers():
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
    said = process.ended()
    assert "killed from outside" in said or "worker process to start" in said
    take(source, tmp_path / "out")
    assert content(tmp_path / "out") == whole


def test_a_file_that_crashes_its_codec_is_rejected_and_the_rest_goes_on(
    take: Take, content: Content, write_mixed: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_mixed(tmp_path / "source", 12)
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


def test_a_worker_that_cannot_start_is_one_sentence(
    take: Take, write_mixed: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_mixed(tmp_path / "source", 3)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    with pytest.raises(cxr_io.CxrError, match=r"worker process to start; it ended with code 7"):
        take(source, tmp_path / "out", workers=1)


def test_ctrl_c_ends_it_at_once_and_it_goes_on(
    take: Take, content: Content, start: type[Any], large: Large, tmp_path: Path
) -> None:
    source, whole = large
    # What runs the tests may ignore the signal, and children inherit that.
    process = start(
        source,
        tmp_path / "out",
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.until(lambda: list((tmp_path / "out").glob("*.part")))
    workers = process.workers()
    os.killpg(process.pid, signal.SIGINT)
    since = time.monotonic()
    assert "KeyboardInterrupt" in process.ended()
    assert time.monotonic() - since < 5
    until_gone(workers)
    assert not list((tmp_path / "out").glob("*.part"))
    take(source, tmp_path / "out")
    assert content(tmp_path / "out") == whole
