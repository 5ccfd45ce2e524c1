"""Shards in, features out: batches of images through an encoder, to files that grow, resumable at any batch."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from cxr_io import Cluster, Sample, ShardStream, info

from raddino_cli.console import Progress
from raddino_cli.work.encoding import Encoded, Encoding, Piece, encode, encode_piece, forget, prepare, read, settle
from raddino_cli.work.features import FORMAT, SPLITS, digest, write_samples
from raddino_cli.work.growing import GrowingArray
from raddino_cli.work.images import Place
from raddino_cli.work.stages import write_text

EXECUTORS = ("local", "ray")
_PACKAGES = ("raddino-cli", "cxr-io", "raddino-encoders", "ssl-core", "numpy", "torch")  # the same on all nodes
_AHEAD = 2  # batches that are prepared while one is encoded
_SYNC_S = 5.0  # between two notes of the place


def embed(
    shards: Place,
    encoder: str,
    out: Path,
    *,
    patches: bool = False,
    layers: int = 1,
    grid: int = 0,
    fit: str = "released",
    batch_size: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    image_size: int | None = None,
    executor: str = "local",
    address: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the features of every image of some shards; returns how many.

    With the executor `ray` tasks of the cluster at `address` encode them, see `cxr_io.Cluster`; its nodes see shards
    and encoder under the same paths. Files are those of a local run on as many threads.

    `<out>` appears whole; what is under way is in `<out>.part`, and the same call goes on from there. Features that
    this call made before are left as they are; those of other settings are replaced at the end.
    """
    if executor not in EXECUTORS:
        raise ValueError(f"expected an executor of {', '.join(EXECUTORS)}; got {executor!r}")
    if address and executor != "ray":
        raise ValueError(f"expected --executor ray with the address of a cluster, {address}; got {executor}")
    encoding = Encoding(
        shards, encoder, patches, layers, grid, fit, device, dtype, image_size, folder=Path.cwd(), call=uuid.uuid4().hex
    )
    splits = _splits(shards)
    with contextlib.ExitStack() as stack:
        stack.callback(forget)
        cluster = stack.enter_context(Cluster(address, _PACKAGES)) if executor == "ray" else None
        encoding, settings, size = cluster.run(settle, encoding) if cluster else settle(encoding)
        facts = _read(out / "features.json")
        if facts and {name: facts.get(name) for name in settings} == settings:
            return int(facts["rows"])
        counts = {split: len(ShardStream(shards, split=split)) for split in splits}
        with _Part(out.with_name(out.name + ".part"), settings) as part:
            pieces = _pieces(counts, part, batch_size or size)
            found = cluster.map(encode_piece, encoding, pieces) if cluster else _here(encoding, pieces)
            for encoded in found:
                part.add(encoded)
                if progress:
                    progress(part.rows, sum(counts.values()))
        return part.finish(out)


class _Part:
    """Features under way: arrays, a line of JSON a row, and a note of how far both are right."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._folder, self._settings = folder, settings
        fresh: dict[str, Any] = {
            "settings": settings,
            "split": None,
            "position": 0,
            "rows": 0,
            "bytes": 0,
            "arrays": {},
        }
        note = _read(folder / "place.json") or fresh
        for name in sorted({*note["settings"], *settings}):
            old, new = note["settings"].get(name), settings.get(name)
            if old != new:
                raise ValueError(
                    f"{folder} was begun with {name} {old}, and now {name} is {new}; repeat that command, or delete "
                    "the folder"
                )
        folder.mkdir(parents=True, exist_ok=True)
        self.rows, self.split, self.position = int(note["rows"]), note["split"], int(note["position"])
        # All are taken up, also where no batch is left: a killed process leaves lengths of before.
        self._arrays = {name: self._array(name, tuple(row), dtype) for name, (row, dtype) in note["arrays"].items()}
        self._lines = (folder / "samples.jsonl").open("r+b" if self.rows else "w+b")
        self._lines.truncate(note["bytes"])
        self._bytes = self._lines.seek(0, os.SEEK_END)
        self._noted = time.monotonic()

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_error: object) -> None:
        """Note the place, wherever a signal or an error came; half a batch is written over when it goes on."""
        self._note()
        for array in self._arrays.values():
            array.close()
        self._lines.close()

    def add(self, encoded: Encoded) -> None:
        """Append a piece; every few seconds, note the place."""
        for name, rows in encoded.arrays.items():
            if name not in self._arrays:
                self._arrays[name] = self._array(name, rows.shape[1:], str(rows.dtype))
            self._arrays[name].append(rows)
        for row in encoded.samples:
            self._lines.write(json.dumps(row).encode() + b"\n")
        self.rows, self.split, self.position = self.rows + len(encoded.samples), encoded.piece.split, encoded.piece.stop
        self._bytes = self._lines.tell()
        if time.monotonic() - self._noted > _SYNC_S:
            self._note()

    def _array(self, name: str, row: tuple[int, ...], dtype: str) -> GrowingArray:
        return GrowingArray(self._folder / f"{name}.npy", row, dtype, self.rows)

    def _note(self) -> None:
        for array in self._arrays.values():
            array.sync()
        self._lines.flush()
        os.fsync(self._lines.fileno())
        arrays = {name: (array.row, str(array.dtype)) for name, array in self._arrays.items()}
        note = {
            "settings": self._settings, "split": self.split, "position": self.position, "rows": self.rows,
            "bytes": self._bytes, "arrays": arrays,
        }  # fmt: skip
        write_text(self._folder / "place.json", json.dumps(note))
        self._noted = time.monotonic()

    def finish(self, out: Path) -> int:
        """Give the folder its name; returns the rows."""
        if not self.rows:
            raise ValueError("expected a sample that can be read, got none; verify the shards")
        keys = write_samples(self._folder / "samples.jsonl", self._folder / "samples.parquet")
        facts = {"format": FORMAT, **self._settings, "rows": self.rows, "keys": digest(keys)}
        write_text(self._folder / "features.json", json.dumps(facts, indent=1) + "\n")
        shutil.rmtree(out, ignore_errors=True)
        self._folder.replace(out)
        for name in ("samples.jsonl", "place.json"):  # last: until the folder has its name, they are what to go on from
            (out / name).unlink()
        return self.rows


def _splits(shards: Place) -> list[str]:
    present = info(shards)["splits"]
    return [split for split in SPLITS if split in present]


def _pieces(counts: dict[str, int], part: _Part, size: int) -> Iterator[Piece]:
    """What is left of the splits, in their order."""
    names = list(counts)
    for split in names[names.index(part.split) if part.split else 0 :]:
        begin = part.position if split == part.split else 0
        for start in range(begin, counts[split], size):
            yield Piece(split, start, min(start + size, counts[split]))


def _here(encoding: Encoding, pieces: Iterator[Piece]) -> Iterator[Encoded]:
    """Pieces encoded in this process, with their input, which other threads prepare ahead."""
    waiting: deque[tuple[Piece, list[Sample], Future[torch.Tensor | None]]] = deque()
    with ThreadPoolExecutor(_AHEAD) as pool:
        for piece in pieces:
            samples = read(encoding, piece)
            waiting.append((piece, samples, pool.submit(prepare, encoding, samples)))
            if len(waiting) > _AHEAD:
                first, images, x = waiting.popleft()
                yield encode(encoding, first, images, x.result())
        for first, images, x in waiting:
            yield encode(encoding, first, images, x.result())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
