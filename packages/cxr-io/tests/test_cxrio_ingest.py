"""Facts about ingest and the stream: determinism, resume, identity, splits, damage."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from cxr_io._shards import decode

KEY = "a key for these tests"
SCRIPT = (
    "import sys, cxr_io\n"
    "cxr_io.ingest(sys.argv[1], sys.argv[2], short_side=64, samples_per_shard=8, key=sys.argv[3], workers=1)"
)


def archive(root: Path, count: int = 40, side: int = 96) -> Path:
    rng = np.random.default_rng(0)
    (root / "sub").mkdir(parents=True)
    lines = ["path,patient,sex,age,opacity,mask.lungs,report"]
    for i in range(count):
        cv2.imwrite(str(root / "sub" / f"SECRET{i:03d}.png"), rng.integers(0, 65535, (side, side + 7), dtype=np.uint16))
        cv2.imwrite(str(root / f"m{i}.png"), (rng.random((side, side + 7)) > 0.5).astype(np.uint8))
        (root / f"r{i}.txt").write_text(f"FINDINGS: case {i}")
        lines.append(f"sub/SECRET{i:03d}.png,Jane^Doe{i // 2},F,{60 + i},{i % 2},m{i}.png,r{i}.txt")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def take(source: Path, out: Path, **options: object) -> cxr_io.IngestSummary:
    return cxr_io.ingest(source, out, **{"short_side": 64, "samples_per_shard": 8, "key": KEY, "workers": 0, **options})  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    source = archive(tmp_path / "source")
    take(source, tmp_path / "one")
    take(source, tmp_path / "two", workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_samples_hold_labels_masks_and_reports_and_no_identity(tmp_path: Path) -> None:
    summary = take(archive(tmp_path / "source"), tmp_path / "out")
    assert (summary.accepted, summary.rejected) == (40, 0)
    samples = [
        s
        for split in ("train", "val", "test")
        if summary.splits[split]
        for s in cxr_io.ShardStream(tmp_path / "out", split=split)
    ]
    assert len({s.key for s in samples}) == 40
    for sample in samples:
        assert sample.image.dtype == np.uint16
        assert min(sample.image.shape) == 64
        assert sample.masks["lungs"].shape == sample.image.shape
        assert sample.meta["sex"] == "F"
        assert sample.meta["age"] <= 90
        assert sample.meta["labels"]["opacity"] in (0, 1)
        assert sample.report is not None
        assert sample.report.startswith("FINDINGS")
    for data in content(tmp_path / "out").values():
        assert b"SECRET" not in data
        assert b"Doe" not in data


def test_a_patient_is_in_one_split_whatever_else_is_there(tmp_path: Path) -> None:
    def splits(out: Path) -> dict[str, str]:
        found = {}
        for split in ("train", "val", "test"):
            try:
                for sample in cxr_io.ShardStream(out, split=split):
                    assert found.setdefault(sample.meta["patient"], split) == split
            except cxr_io.CxrError:
                continue
        return found

    take(archive(tmp_path / "a", 40), tmp_path / "x")
    take(archive(tmp_path / "b", 20), tmp_path / "y")
    large, small = splits(tmp_path / "x"), splits(tmp_path / "y")
    assert len(small) == 10
    assert all(large[patient] == split for patient, split in small.items())


def test_another_setting_is_refused_with_the_difference(tmp_path: Path) -> None:
    source = archive(tmp_path / "source", 8)
    take(source, tmp_path / "out")
    with pytest.raises(cxr_io.CxrError, match="short_side 64, and now short_side 32"):
        take(source, tmp_path / "out", short_side=32)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("x")
    with pytest.raises(cxr_io.CxrError, match="other files"):
        take(source, tmp_path / "other")


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = archive(tmp_path / "source", 8)
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
def test_a_source_with_nothing_to_read_is_one_sentence(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "source")
    with pytest.raises(cxr_io.CxrError, match=message):
        take(tmp_path / "source", tmp_path / "out")


def test_eight_bits_round_the_sixteen(tmp_path: Path) -> None:
    source = archive(tmp_path / "source", 8)
    take(source, tmp_path / "a")
    take(source, tmp_path / "b", bits=8)
    split = next(iter(cxr_io.info(tmp_path / "a")["splits"]))
    pairs = zip(
        cxr_io.ShardStream(tmp_path / "a", split=split), cxr_io.ShardStream(tmp_path / "b", split=split), strict=True
    )
    for sixteen, eight in pairs:
        assert np.abs(sixteen.image.astype(int) - eight.image.astype(int)).max() <= 129


def test_the_stream_goes_on_exactly_and_shuffles_by_seed_and_epoch(tmp_path: Path) -> None:
    take(archive(tmp_path / "source"), tmp_path / "out")

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


@pytest.mark.parametrize("place", ["png", "json", "txt", "lungs.mask.png"])
def test_damage_names_the_shard_and_the_sample(tmp_path: Path, place: str) -> None:
    take(archive(tmp_path / "source"), tmp_path / "out")
    assert cxr_io.verify(tmp_path / "out") == []
    shard = next((tmp_path / "out").glob("train-*.tar"))
    with tarfile.open(shard) as tar:
        member = tar.getmembers()[4 * 3 + ["png", "json", "lungs.mask.png", "txt"].index(place)]
    data = bytearray(shard.read_bytes())
    data[member.offset_data + member.size - 2] ^= 4
    shard.write_bytes(data)
    found = cxr_io.verify(tmp_path / "out")
    assert {damage.shard for damage in found} == {shard.name}
    assert any("SHA-256" in damage.problem for damage in found)
    assert [damage.sample for damage in found if damage.sample] == [member.name.partition(".")[0]]


def test_what_is_missing_or_damaged_beside_the_samples_is_found(tmp_path: Path) -> None:
    take(archive(tmp_path / "source"), tmp_path / "out")
    shard, table = next((tmp_path / "out").glob("train-*.tar")), tmp_path / "out" / "samples.parquet"
    shard.unlink()
    table.write_bytes(table.read_bytes()[:-3])
    assert {damage.shard for damage in cxr_io.verify(tmp_path / "out")} == {shard.name, table.name}
    table.unlink()
    with pytest.raises(cxr_io.CxrError, match=r"expected samples\.parquet"):
        cxr_io.info(tmp_path / "out")
    take(tmp_path / "source", tmp_path / "out")
    assert cxr_io.verify(tmp_path / "out") == []


def test_the_table_says_what_the_shards_hold(tmp_path: Path) -> None:
    from pyarrow.parquet import read_table

    take(archive(tmp_path / "source"), tmp_path / "out")
    rows = {row["key"]: row for row in read_table(tmp_path / "out" / "samples.parquet").to_pylist()}
    assert len(rows) == 40
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert [row["shard"] for row in rows.values()] == [e["name"] for e in index["shards"] for _ in range(e["samples"])]
    for split, count in index["splits"].items():
        for sample in cxr_io.ShardStream(tmp_path / "out", split=split) if count else []:
            row = rows[sample.key]
            assert (row["split"], row["masks"], row["report"]) == (split, ["lungs"], True)
            assert row["label.opacity"] == sample.meta["labels"]["opacity"]
            assert all(row[name] == sample.meta[name] for name in ("patient", "study", "view", "sex", "age"))


@pytest.mark.parametrize("bits", [16, 8])
def test_jpeg_xl_samples_are_those_of_png(tmp_path: Path, bits: int) -> None:
    pytest.importorskip("imagecodecs")
    source = archive(tmp_path / "source", 8)
    for codec in cxr_io.CODECS:
        take(source, tmp_path / codec, codec=codec, bits=bits)
        assert cxr_io.verify(tmp_path / codec) == []
    for split in cxr_io.info(tmp_path / "png")["splits"]:
        streams = [cxr_io.ShardStream(tmp_path / codec, split=split) for codec in cxr_io.CODECS]
        for one, other in zip(*streams, strict=True):
            assert np.array_equal(one.image, other.image)
            assert np.array_equal(one.masks["lungs"], other.masks["lungs"])
            assert (one.key, one.meta, one.report) == (other.key, other.meta, other.report)
    with pytest.raises(cxr_io.CxrError, match="codec of png, jxl; got 'gif'"):
        take(source, tmp_path / "gif", codec="gif")


def test_a_jpeg_xl_sample_that_does_not_decode_is_named(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    with pytest.raises(cxr_io.CxrError, match="sample a to hold a readable image"):
        decode("a", {"jxl": b"nothing", "json": b"{}"})


def test_without_imagecodecs_jpeg_xl_is_one_sentence() -> None:
    code = (
        "import sys\nsys.modules['imagecodecs'] = None\nimport cxr_io\nfrom cxr_io._shards import decode\n"
        "try:\n    decode('a', {'jxl': b'', 'json': b'{}'})\nexcept cxr_io.CxrError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'cxr-io[codecs]'" in done.stdout


def test_info_counts(tmp_path: Path) -> None:
    take(archive(tmp_path / "source"), tmp_path / "out")
    splits = cxr_io.info(tmp_path / "out")["splits"].values()
    assert sum(split["samples"] for split in splits) == 40
    assert sum(split["patients"] for split in splits) == 20
    assert sum(split["labels"]["opacity"]["positive"] for split in splits) == 20


def test_webdataset_reads_the_shards(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    take(archive(tmp_path / "source", 8), tmp_path / "out")
    # In a process of its own: webdataset leaves files to the garbage collector, which is a warning and so an error.
    code = (
        "import json, sys, webdataset\n"
        "samples = list(webdataset.WebDataset(sys.argv[1:], shardshuffle=False))\n"
        "print(len(samples), {json.loads(sample['json'])['sex'] for sample in samples})"
    )
    shards = sorted(map(str, (tmp_path / "out").glob("*.tar")))
    done = subprocess.run([sys.executable, "-c", code, *shards], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "8 {'F'}"


def test_the_key_lies_outside_the_shards_and_is_private(tmp_path: Path) -> None:
    take(archive(tmp_path / "source", 8), tmp_path / "out", key=None)
    assert (tmp_path / "out.key").stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "out").glob("*.key"))
    (tmp_path / "empty.key").touch()
    with pytest.raises(cxr_io.CxrError, match="at least 16 characters, got 0"):
        take(tmp_path / "source", tmp_path / "empty", key=None)


def test_the_official_layout_of_chestxray14(tmp_path: Path) -> None:
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
