"""Facts about ingest and the stream: determinism, resume, identity, splits, damage."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest

Take = Callable[..., cxr_io.IngestSummary]
Content = Callable[[Path], dict[str, bytes]]
Write = Callable[..., Path]


def test_any_number_of_workers_gives_the_same_bytes(
    take: Take, content: Content, write_labelled: Write, tmp_path: Path
) -> None:
    source = write_labelled(tmp_path / "source")
    take(source, tmp_path / "one")
    take(source, tmp_path / "two", workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_patient_is_in_one_split_whatever_else_is_there(take: Take, write_labelled: Write, tmp_path: Path) -> None:
    def splits(out: Path) -> dict[str, str]:
        found = {}
        for split in ("train", "val", "test"):
            try:
                for sample in cxr_io.ShardStream(out, split=split):
                    assert found.setdefault(sample.meta["patient"], split) == split
            except cxr_io.CxrError:
                continue
        return found

    take(write_labelled(tmp_path / "a", 40), tmp_path / "x")
    take(write_labelled(tmp_path / "b", 20), tmp_path / "y")
    large, small = splits(tmp_path / "x"), splits(tmp_path / "y")
    assert len(small) == 10
    assert all(large[patient] == split for patient, split in small.items())


def test_another_setting_is_refused_with_the_difference(take: Take, write_labelled: Write, tmp_path: Path) -> None:
    source = write_labelled(tmp_path / "source", 8)
    take(source, tmp_path / "out")
    with pytest.raises(cxr_io.CxrError, match="short_side 64, and now short_side 32"):
        take(source, tmp_path / "out", short_side=32)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("x")
    with pytest.raises(cxr_io.CxrError, match="other files"):
        take(source, tmp_path / "other")


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(take: Take, write_labelled: Write, tmp_path: Path) -> None:
    source = write_labelled(tmp_path / "source", 8)
    table = (source / "labels.csv").read_text() + "sub/absent.png,P,M,50,1,,\n"
    (source / "labels.csv").write_text(table)
    (source / "sub" / "SECRET000.png").write_bytes(b"not an image")
    cv2.imwrite(str(source / "sub" / "SECRET001.png"), np.full((40, 50), 7, np.uint8))
    summary = take(source, tmp_path / "out")
    assert (summary.accepted, summary.reasons) == (6, {"missing_file": 1, "not_an_image": 1, "constant": 1})
    named, shared = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (tmp_path / "out.rejected.jsonl", tmp_path / "out" / "rejected.jsonl")
    )
    assert [line["file"] for line in named] == ["sub/SECRET000.png", "sub/SECRET001.png", "sub/absent.png"]
    assert all("expected" in line["reason"] for line in named)
    assert [(line["file"], line["code"]) for line in shared] == [(line["key"], line["code"]) for line in named]
    assert shared[1]["reason"] == named[1]["reason"] == "expected an image, got one value everywhere (7)"
    assert [shared[i]["reason"] for i in (0, 2)] == [
        "expected DICOM, PNG, JPEG, TIFF or NIfTI, got a file of another kind", "expected a file, found none",
    ]  # fmt: skip
    assert (tmp_path / "out.rejected.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "found nothing"),
        (lambda p: p.mkdir(), "found no files"),
        (lambda p: (p.mkdir(), (p / "a.txt").write_text("x")), "accepted none"),
        (lambda p: (p.mkdir(), (p / "labels.csv").write_text("image,x\na,1\n")), "column 'path'"),
        (lambda p: (p.mkdir(), (p / "labels.csv").write_text("path,age\na.png,old\n")), "a number"),
        (lambda p: (p.mkdir(), (p / "labels.csv").write_text("path,split\na.png,dev\n")), "train, val or test"),
    ],
)
def test_a_source_with_nothing_to_read_is_one_sentence(take: Take, tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "source")
    with pytest.raises(cxr_io.CxrError, match=message):
        take(tmp_path / "source", tmp_path / "out")


def test_the_stream_goes_on_exactly_and_shuffles_by_seed_and_epoch(
    take: Take, write_labelled: Write, tmp_path: Path
) -> None:
    take(write_labelled(tmp_path / "source"), tmp_path / "out")

    def stream(**options: int) -> cxr_io.ShardStream:
        return cxr_io.ShardStream(tmp_path / "out", split="train", shuffle=True, **options)

    whole = [s.key for s in stream(seed=3)]
    assert sorted(whole) == sorted(s.key for s in cxr_io.ShardStream(tmp_path / "out", split="train"))
    assert whole != [s.key for s in stream(seed=4)]
    assert whole != [s.key for s in stream(seed=3, epoch=1)]
    first = stream(seed=3)
    iterator = iter(first)
    head = [next(iterator).key for _ in range(11)]
    second = stream(seed=3)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert head + [s.key for s in second] == whole
    assert [s.key for s in second] == [s.key for s in stream(seed=3, epoch=1)]


def test_the_key_lies_outside_the_shards_and_is_private(take: Take, write_labelled: Write, tmp_path: Path) -> None:
    take(write_labelled(tmp_path / "source", 8), tmp_path / "out", key=None)
    assert (tmp_path / "out.key").stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "out").glob("*.key"))
    (tmp_path / "empty.key").touch()
    with pytest.raises(cxr_io.CxrError, match="at least 16 characters, got 0"):
        take(tmp_path / "source", tmp_path / "empty", key=None)


def test_the_official_layout_of_chestxray14(take: Take, tmp_path: Path) -> None:
    places = (above / "shared" / "data" / "nih" for above in Path(__file__).parents)
    source = next((place for place in places if place.exists()), None)
    if source is None:
        pytest.skip("the real radiographs of ../shared/data are not here")
    few = tmp_path / "nih"
    (few / "images").mkdir(parents=True)
    table = next(source.glob("Data_Entry_2017*.csv"))
    lines = table.read_text().splitlines()
    names = [line.split(",")[0].strip('"') for line in lines[1:13]]
    found = {path.name: path for path in source.rglob("*.png")}
    for name in names:
        (few / "images" / name).symlink_to(found[name])
    (few / table.name).write_text("\n".join(lines[:13]) + "\n")
    summary = take(few, tmp_path / "out")
    assert summary.accepted == 12
    labels = cxr_io.info(tmp_path / "out")["splits"]
    assert all("Effusion" in split["labels"] and "No Finding" in split["labels"] for split in labels.values())


def test_the_package_needs_no_torch() -> None:
    code = "import sys, cxr_io; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    Path("archive").mkdir()
    cv2.imwrite("archive/a.png", np.random.default_rng(0).integers(0, 65535, (600, 500), dtype=np.uint16))
    code = "\n".join(part.split("```")[0] for part in text.split("```python\n")[1:3])  # to read, and to ingest
    exec(compile(code, "README.md", "exec"), {})
