"""Facts about what the stream reads: shards by their headers alone, and damage that is left out."""

import io
import json
import logging
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cxr_io import CxrError, ShardStream
from cxr_io._folder import Folder
from cxr_io._order import Order
from cxr_io._reader import ShardReader
from cxr_io._shards import Encoded, ShardWriter, read_shard

Write = Callable[..., Path]
COUNTS = (5, 3, 7, 1, 4, 6, 2, 5)


def keys(stream: ShardStream) -> list[str]:
    return [sample.key for sample in stream]


@pytest.fixture
def damaged(tmp_path: Path, write_shards: Write) -> Path:
    """Four shards: one sample damaged in the first, the second cut short, the third gone."""
    folder = write_shards(tmp_path, 4, 4, 4, 4)
    offset, _ = read_shard(folder / "train-000000.tar")["s0-1"]["png"]
    with (folder / "train-000000.tar").open("r+b") as file:
        file.seek(offset + 60)
        file.write(bytes(20))
    os.truncate(folder / "train-000001.tar", 5000)
    (folder / "train-000002.tar").unlink()
    return folder


@pytest.mark.parametrize("threads", [1, 2])
def test_damage_is_left_out_and_counted(damaged: Path, caplog: pytest.LogCaptureFixture, threads: int) -> None:
    stream = ShardStream(damaged, split="train", threads=threads)
    with caplog.at_level(logging.WARNING, "cxr_io"):
        assert keys(stream) == ["s0-0", "s0-2", "s0-3", "s3-0", "s3-1", "s3-2", "s3-3"]
    assert stream.skipped == len(caplog.records) == 9
    assert all(name in caplog.text for name in ("s0-1", "train-000001.tar", "train-000002.tar"))
    with pytest.raises(CxrError, match="s0-1") as caught:
        keys(ShardStream(damaged, split="train", strict=True, threads=threads))
    assert caught.value.code == "damaged"


def test_among_ranks_another_sample_stands_in_for_a_damaged_one(damaged: Path) -> None:
    parts = [keys(ShardStream(damaged, split="train", shuffle=True, rank=r, world_size=2)) for r in range(2)]
    assert [len(part) for part in parts] == [8, 8]
    assert {key for part in parts for key in part} == {"s0-0", "s0-2", "s0-3", "s3-0", "s3-1", "s3-2", "s3-3"}
    stream = ShardStream(damaged, split="train")
    assert [stream[i].key for i in (0, 1, 4)] == ["s0-0", "s0-2", "s3-0"]
    for path in damaged.glob("*.tar"):
        path.unlink()
    with pytest.raises(CxrError, match="none of 16"):
        ShardStream(damaged, split="train")[0]


def test_an_index_that_says_other_numbers_is_damage(write_shards: Write, tmp_path: Path) -> None:
    write_shards(tmp_path, 4)
    index = json.loads((tmp_path / "index.json").read_text())
    index["shards"][0]["samples"] = 5
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(CxrError, match=r"expected 5 samples in train-000000\.tar, got 4"):
        keys(ShardStream(tmp_path, split="train", strict=True))


def test_what_is_no_shard_or_shrinks_while_it_is_read_is_damage(write_shards: Write, tmp_path: Path) -> None:
    (tmp_path / "words.tar").write_bytes(b"not a tar file" * 100)
    with pytest.raises(CxrError, match=r"words\.tar: .*(checksum|invalid)"):
        ShardReader(Folder(tmp_path), ["words.tar"], [1], keep=1).read(0, 0)
    write_shards(tmp_path, 3)
    reader = ShardReader(Folder(tmp_path), ["train-000000.tar"], [3], keep=1)
    reader.read(0, 0)
    os.truncate(tmp_path / "train-000000.tar", 1024)
    with pytest.raises(CxrError, match="sample s0-2 whole"):
        reader.read(0, 2)


def test_a_shard_is_opened_once_while_it_is_in_the_window(write_shards: Write, tmp_path: Path) -> None:
    opened: list[str] = []

    class Counting(Folder):
        def open(self, name: str) -> int:
            opened.append(name)
            return super().open(name)

    names = [f"train-{i:06d}.tar" for i in range(len(COUNTS))]
    reader = ShardReader(Counting(write_shards(tmp_path, *COUNTS)), names, COUNTS, keep=3)
    order = Order(np.array(COUNTS), shuffle=True, seed=0, window=3)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.is_dir() else 0
    for position in range(len(order)):
        reader.read(*order.place(0, position))
        assert not before or len(list(descriptors.iterdir())) <= before + 3
    assert sorted(opened) == names


def test_the_table_of_a_shard_is_that_of_tarfile(write_shards: Write, tmp_path: Path) -> None:
    place = write_shards(tmp_path / "shards", *COUNTS)
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(place / "train-000000.tar", "a.b")
        for name, data in (("k.png", b"x" * 700), ("k.json", b""), ("l.a.mask.png", b"y" * 512)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "k.png"
        tar.addfile(link)
    for path in (*place.glob("*.tar"), tmp_path / "x.tar"):
        expected: dict[str, dict[str, tuple[int, int]]] = {}
        with tarfile.open(path) as tar:
            for member in filter(tarfile.TarInfo.isfile, tar):
                key, _, extension = member.name.partition(".")
                expected.setdefault(key, {})[extension] = (member.offset_data, member.size)
        assert read_shard(path) == expected


def test_a_rank_reads_headers_and_its_own_samples_alone(write_shards: Write, tmp_path: Path) -> None:
    place = write_shards(tmp_path, 64, 64)
    code = (
        "import sys, cxr_io\n"
        "def read(): return int(open('/proc/self/io').read().split()[1])\n"
        "stream = cxr_io.ShardStream(sys.argv[1], split='train', rank=1, world_size=int(sys.argv[2]))\n"
        "before = read()\n"
        "for sample in stream: pass\n"
        "print(read() - before)"
    )

    def taken(ranks: int) -> int:
        command = [sys.executable, "-c", code, str(place), str(ranks)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    if not Path("/proc/self/io").exists():
        pytest.skip("this system does not count what a process reads")
    headers = 128 * 2 * 512  # of two files a sample
    assert taken(8) - headers < (taken(2) - headers) / 3.5


def test_a_codec_that_is_not_installed_is_no_damage(
    write_shards: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_shards(tmp_path, 1)
    writer = ShardWriter(folder / "train-000000.tar")
    writer.add(Encoded("a", (("jxl", b"pixels"), ("json", b"{}"))))
    writer.close()
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    stream = ShardStream(folder, split="train")
    with pytest.raises(CxrError, match=r"pip install 'cxr-io\[codecs\]'"):
        next(iter(stream))
    assert stream.skipped == 0
