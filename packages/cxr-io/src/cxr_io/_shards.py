"""Shards: uncompressed tar files of samples, whose bytes depend on the samples alone."""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cxr_io._errors import CxrError
from cxr_io._folder import Folder
from cxr_io._png import png, unpng
from cxr_io._sample_codec import CODECS

FORMAT = 1
INDEX = "index.json"
Places = dict[str, tuple[int, int]]
"""Offset and size in the shard of each file of a sample, by extension."""


@dataclass(frozen=True)
class Sample:
    """One radiograph out of a shard. `image` (H, W) uint16, `masks` by name (H, W) uint8 or uint16."""

    key: str
    image: NDArray[np.uint16]
    meta: dict[str, Any]
    masks: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    report: str | None = None


@dataclass(frozen=True)
class Encoded:
    """A sample as the files that a shard holds."""

    key: str
    files: tuple[tuple[str, bytes], ...]


def encode(sample: Sample, bits: int, codec: str = "png") -> Encoded:
    """A sample as an image of `CODECS`, JSON, PNG masks and text; 8 bits keep the high byte, rounded."""
    image = sample.image if bits == 16 else np.round(sample.image / 257).astype(np.uint8)
    files = [(codec, CODECS[codec][0](image)), ("json", json.dumps(sample.meta, sort_keys=True).encode())]
    files += [(f"{name}.mask.png", png(mask)) for name, mask in sorted(sample.masks.items())]
    if sample.report is not None:
        files.append(("txt", sample.report.encode()))
    return Encoded(sample.key, tuple(files))


def decode(key: str, files: dict[str, bytes]) -> Sample:
    """The sample that `encode` made; `CxrError` where it is damaged."""
    try:
        codec = next((name for name in CODECS if name in files), "png")
        image = CODECS[codec][1](files[codec])
        if image.ndim != 2:
            raise CxrError("damaged", f"expected a grey image in sample {key}, got {image.ndim} dimensions")
        return Sample(
            key,
            np.multiply(image, 257, dtype=np.uint16)
            if image.dtype == np.uint8
            else image.astype(np.uint16, copy=False),
            json.loads(files["json"]),
            {name[: -len(".mask.png")]: unpng(data) for name, data in files.items() if name.endswith(".mask.png")},
            files["txt"].decode() if "txt" in files else None,
        )
    except CxrError:
        raise
    except (KeyError, ValueError) as error:
        raise CxrError("damaged", f"expected sample {key} to hold a readable image and json: {error}") from error


class ShardWriter:
    """A shard in the making: `<path>.part` until `close`, which syncs it and gives it its name."""

    def __init__(self, path: Path) -> None:
        self.path, self.samples, self.bytes = path, 0, 0
        self._part = path.with_name(path.name + ".part")
        self._file = self._part.open("wb")
        self._digest = sha256()

    def add(self, sample: Encoded) -> None:
        """Append a sample's files."""
        for extension, data in sample.files:
            member = tarfile.TarInfo(f"{sample.key}.{extension}")
            member.size, member.mode = len(data), 0o644
            self._write(member.tobuf(tarfile.USTAR_FORMAT))
            self._write(data + bytes(-len(data) % tarfile.BLOCKSIZE))
        self.samples += 1

    def close(self) -> dict[str, Any]:
        """Finish the shard; returns its entry in the index."""
        end = 2 * tarfile.BLOCKSIZE
        self._write(bytes(end + -(self.bytes + end) % tarfile.RECORDSIZE))
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())
        self._part.replace(self.path)
        sync_folder(self.path.parent)
        return {
            "name": self.path.name, "samples": self.samples, "bytes": self.bytes, "sha256": self._digest.hexdigest(),
        }  # fmt: skip

    def abandon(self) -> None:
        """Give up a shard that is not finished, and its room on the disk."""
        with contextlib.suppress(OSError):  # what a full disk still owes can't be written; it is not wanted
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)


def read_parts(file: BinaryIO, parts: Places) -> dict[str, bytes]:
    """The bytes of some files of a sample, out of its open shard."""
    content = {}
    for extension, (offset, size) in parts.items():
        file.seek(offset)
        content[extension] = file.read(size)
    return content


def read_shard(path: Path) -> dict[str, Places]:
    """Where each file of each sample lies in a shard: {key: {extension: (offset, size)}}, in order."""
    try:
        with path.open("rb") as file:
            return scan(file.fileno())
    except (OSError, ValueError) as error:
        raise CxrError("damaged", f"expected a shard at {path}: {error}") from error


def scan(descriptor: int) -> dict[str, Places]:
    """Where each file of each sample of an open shard lies, as `read_shard`; ValueError where it is no tar file.

    Reads the headers alone, some ten times as fast as tarfile: a rank among many reads few samples of each shard.
    """
    found: dict[str, Places] = {}
    at = 0
    while len(header := os.pread(descriptor, tarfile.BLOCKSIZE, at)) == tarfile.BLOCKSIZE and header[0]:
        checksum = sum(header) - sum(header[148:156]) + 8 * 0x20
        if checksum != int(header[148:156].strip(b" \0") or b"0", 8):
            raise ValueError(f"the checksum of the tar header at byte {at} is wrong")
        size = int(header[124:136].strip(b" \0") or b"0", 8)
        if header[156:157] in (tarfile.REGTYPE, tarfile.AREGTYPE):
            key, _, extension = header[:100].rstrip(b"\0").decode().partition(".")
            found.setdefault(key, {})[extension] = (at + tarfile.BLOCKSIZE, size)
        at += tarfile.BLOCKSIZE + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return found


def crc_of(contents: Iterable[bytes]) -> int:
    """CRC-32 of a sample's files, one after the other; tells which sample of a damaged shard is hurt."""
    crc = 0
    for data in contents:
        crc = zlib.crc32(data, crc)
    return crc


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def index_sha256(shards: str | Path) -> str:
    """Of the index: what tells some shards, in a folder or at a URL, from all others."""
    return sha256(Folder(shards).read(INDEX)).hexdigest()


def read_index(shards: str | Path) -> dict[str, Any]:
    """The index of a folder of shards."""
    try:
        index: dict[str, Any] = json.loads(Folder(shards).read(INDEX))
    except FileNotFoundError as error:
        raise CxrError("missing_source", f"expected a folder of shards with {INDEX}, found none in {shards}") from error
    except ValueError as error:
        raise CxrError("damaged", f"expected JSON in {INDEX} of {shards}: {error}") from error
    if index.get("format") != FORMAT:
        raise CxrError(
            "usage", f"expected shards of format {FORMAT}, got {index.get('format')}; another version wrote them"
        )
    return index
