"""Shards: uncompressed tar files of samples, whose bytes depend on the samples alone."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cxr_io._errors import CxrError
from cxr_io._folder import Folder
from cxr_io._png import png, unpng

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


def encode(sample: Sample, bits: int) -> Encoded:
    """A sample as PNG, JSON and text; 8 bits keep the high byte, rounded."""
    image = sample.image if bits == 16 else np.round(sample.image / 257).astype(np.uint8)
    files = [("png", png(image)), ("json", json.dumps(sample.meta, sort_keys=True).encode())]
    files += [(f"{name}.mask.png", png(mask)) for name, mask in sorted(sample.masks.items())]
    if sample.report is not None:
        files.append(("txt", sample.report.encode()))
    return Encoded(sample.key, tuple(files))


def decode(key: str, files: dict[str, bytes]) -> Sample:
    """The sample that `encode` made; `CxrError` where it is damaged."""
    try:
        image = unpng(files["png"])
        if image.ndim != 2:
            raise CxrError("damaged", f"expected a grey image in sample {key}, got {image.ndim} dimensions")
        return Sample(
            key,
            image.astype(np.uint16) * np.uint16(257)
            if image.dtype == np.uint8
            else image.astype(np.uint16, copy=False),
            json.loads(files["json"]),
            {name[: -len(".mask.png")]: unpng(data) for name, data in files.items() if name.endswith(".mask.png")},
            files["txt"].decode() if "txt" in files else None,
        )
    except (KeyError, ValueError) as error:
        raise CxrError("damaged", f"expected sample {key} to hold a readable png and json: {error}") from error


def write_shard(path: Path, samples: Iterable[Encoded]) -> dict[str, Any]:
    """Write a shard whole or not at all; returns its entry in the index."""
    part = path.with_name(path.name + ".part")
    count = 0
    with part.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            count += 1
            for extension, data in sample.files:
                member = tarfile.TarInfo(f"{sample.key}.{extension}")
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))
        tar.close()
        file.flush()
        os.fsync(file.fileno())
    entry = {"name": path.name, "samples": count, "bytes": part.stat().st_size, "sha256": file_sha256(part)}
    part.replace(path)
    return entry


def read_parts(file: BinaryIO, parts: Places) -> dict[str, bytes]:
    """The bytes of some files of a sample, out of its open shard."""
    content = {}
    for extension, (offset, size) in parts.items():
        file.seek(offset)
        content[extension] = file.read(size)
    return content


def read_shard(path: Path) -> dict[str, Places]:
    """Where each file of each sample lies in a shard: {key: {extension: (offset, size)}}, in order."""
    found: dict[str, Places] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                if member.isfile():
                    found.setdefault(key, {})[extension] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise CxrError("damaged", f"expected a shard at {path}: {error}") from error
    return found


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


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
