"""Facts about a second ingest: it goes on from whatever is left, and notices what changed."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
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

Take = Callable[..., cxr_io.IngestSummary]
Content = Callable[[Path], dict[str, bytes]]
Small = tuple[Path, Path]
KEY = "a key for these tests"


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1), st.floats(0, 1), st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_whatever_is_left_of_a_run_it_ends_the_same(
    take: Take,
    content: Content,
    small: Small,
    tmp_path: Path,
    items: float,
    names: float,
    shards: set[int],
    notes: set[int],
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


def test_a_second_run_writes_nothing(take: Take, small: Small) -> None:
    source, whole = small
    stamps = {path: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != "rejected.jsonl"}
    summary = take(source, whole)
    assert summary.accepted + summary.rejected == 30
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
    take: Take, content: Content, change: Callable[[Path], None], small: Small, tmp_path: Path
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


def test_what_did_not_change_is_not_converted_again(take: Take, content: Content, small: Small, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(small[0], source)
    take(source, out)
    remove(source)  # so that every later shard of its split holds other samples
    take(source, tmp_path / "new")
    for path in source.glob("0*.png"):  # what reads them again is told by their sizes and times that nothing changed
        stamp = path.stat()
        if stamp.st_size > len(b"damaged"):
            path.write_bytes(bytes(stamp.st_size))
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    take(source, out)
    assert content(out) == content(tmp_path / "new")
    assert not (out / ".journal" / "before").exists()


def test_a_sample_that_was_damaged_meanwhile_is_converted_again(
    take: Take, content: Content, small: Small, tmp_path: Path
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(small[0], source)
    take(source, out)
    remove(source)
    for path in sorted(out.glob("train-*.tar"))[-2:]:
        data = bytearray(path.read_bytes())
        data[1000] ^= 1  # of the first sample's pixels
        path.write_bytes(data)
    take(source, out)
    take(source, tmp_path / "new")
    assert cxr_io.verify(out) == []
    assert content(out) == content(tmp_path / "new")


def test_what_was_taken_and_now_is_not_is_one_sentence(take: Take, small: Small, tmp_path: Path) -> None:
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


def test_a_source_that_changes_between_listing_and_reading_is_noticed(take: Take, small: Small, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(small[0], source)
    take(source, out)
    settings = json.loads((out / ".journal" / "settings.json").read_text())
    del settings["journal"]
    with closing(Journal(out, settings, KEY.encode())) as journal:
        items = list(list_items(source, "csv", None)[1])
        assert journal.compare(items, None) == 30
        (source / "r12.txt").write_text("another")
        with Pool(0, Settings(64, 16, "minmax", "png", KEY.encode())) as pool, pytest.raises(cxr_io.CxrError) as caught:
            list(_outcomes(items, journal, _Shards(journal), pool))
        assert "012.png changed" in str(caught.value)
