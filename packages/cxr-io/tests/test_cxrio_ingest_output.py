"""Facts about what ingest leaves: samples, codecs, the table, and damage that is found."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import cxr_io
import numpy as np
import pytest
from cxr_io._shards import decode

Take = Callable[..., cxr_io.IngestSummary]
Content = Callable[[Path], dict[str, bytes]]
Write = Callable[..., Path]


def test_samples_hold_labels_masks_and_reports_and_no_identity(
    take: Take, content: Content, write_labelled: Write, tmp_path: Path
) -> None:
    summary = take(write_labelled(tmp_path / "source"), tmp_path / "out")
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


def test_eight_bits_round_the_sixteen(take: Take, write_labelled: Write, tmp_path: Path) -> None:
    source = write_labelled(tmp_path / "source", 8)
    take(source, tmp_path / "a")
    take(source, tmp_path / "b", bits=8)
    split = next(iter(cxr_io.info(tmp_path / "a")["splits"]))
    pairs = zip(
        cxr_io.ShardStream(tmp_path / "a", split=split), cxr_io.ShardStream(tmp_path / "b", split=split), strict=True
    )
    for sixteen, eight in pairs:
        assert np.abs(sixteen.image.astype(int) - eight.image.astype(int)).max() <= 129


@pytest.mark.parametrize("place", ["png", "json", "txt", "lungs.mask.png"])
def test_damage_names_the_shard_and_the_sample(take: Take, write_labelled: Write, tmp_path: Path, place: str) -> None:
    take(write_labelled(tmp_path / "source"), tmp_path / "out")
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


def test_what_is_missing_or_damaged_beside_the_samples_is_found(
    take: Take, write_labelled: Write, tmp_path: Path
) -> None:
    take(write_labelled(tmp_path / "source"), tmp_path / "out")
    shard, table = next((tmp_path / "out").glob("train-*.tar")), tmp_path / "out" / "samples.parquet"
    shard.unlink()
    table.write_bytes(table.read_bytes()[:-3])
    assert {damage.shard for damage in cxr_io.verify(tmp_path / "out")} == {shard.name, table.name}
    table.unlink()
    with pytest.raises(cxr_io.CxrError, match=r"expected samples\.parquet"):
        cxr_io.info(tmp_path / "out")
    take(tmp_path / "source", tmp_path / "out")
    assert cxr_io.verify(tmp_path / "out") == []


def test_the_table_says_what_the_shards_hold(take: Take, write_labelled: Write, tmp_path: Path) -> None:
    from pyarrow.parquet import read_table

    take(write_labelled(tmp_path / "source"), tmp_path / "out")
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
def test_jpeg_xl_samples_are_those_of_png(take: Take, write_labelled: Write, tmp_path: Path, bits: int) -> None:
    pytest.importorskip("imagecodecs")
    source = write_labelled(tmp_path / "source", 8)
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


def test_info_counts(take: Take, write_labelled: Write, tmp_path: Path) -> None:
    take(write_labelled(tmp_path / "source"), tmp_path / "out")
    splits = cxr_io.info(tmp_path / "out")["splits"].values()
    assert sum(split["samples"] for split in splits) == 40
    assert sum(split["patients"] for split in splits) == 20
    assert sum(split["labels"]["opacity"]["positive"] for split in splits) == 20


def test_webdataset_reads_the_shards(take: Take, write_labelled: Write, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    take(write_labelled(tmp_path / "source", 8), tmp_path / "out")
    # In a process of its own: webdataset leaves files to the garbage collector, which is a warning and so an error.
    code = (
        "import json, sys, webdataset\n"
        "samples = list(webdataset.WebDataset(sys.argv[1:], shardshuffle=False))\n"
        "print(len(samples), {json.loads(sample['json'])['sex'] for sample in samples})"
    )
    shards = sorted(map(str, (tmp_path / "out").glob("*.tar")))
    done = subprocess.run([sys.executable, "-c", code, *shards], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "8 {'F'}"
