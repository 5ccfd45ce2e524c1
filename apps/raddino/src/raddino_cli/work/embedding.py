"""Shards in, features out: batches of images through an encoder, to files that grow, resumable at any batch."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import raddino_encoders
import torch
from cxr_io import Sample, ShardStream, info
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from raddino_cli.console import Progress
from raddino_cli.work.features import FORMAT, SPLITS, digest, write_samples
from raddino_cli.work.growing import GrowingArray
from raddino_cli.work.stages import write_text

_MOST_TOKENS = 8192  # of a batch on a CPU, where larger ones only leave the caches
_MOST_IMAGES = 32
_AHEAD = 2  # batches that are prepared while one is encoded
_SYNC_S = 5.0  # between two notes of the place


@dataclass(frozen=True)
class Batch:
    """Images with what is known of them; `position` is the place in the split after them."""

    split: str
    position: int
    samples: list[Sample]


def embed(
    shards: Path,
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
    progress: Progress | None = None,
) -> int:
    """Write the features of every image of some shards; returns how many.

    `<out>` appears whole; what is under way is in `<out>.part`, and the same call goes on from there. Features that
    this call made before are left as they are; those of other settings are replaced at the end.
    """
    place, kind = choose(device, dtype)
    model = raddino_encoders.load(encoder, device=place, dtype=kind)
    splits = _splits(shards)
    side = model.image_size // model.patch_size
    if grid > side:
        raise ValueError(f"expected a grid of at most {side} cells a side, as {model.name} has patches, got {grid}")
    settings = {**_settings(model, shards, fit), "patches": patches, "layers": layers, "grid": grid}
    facts = _read(out / "features.json")
    if facts and {name: facts.get(name) for name in settings} == settings:
        return int(facts["rows"])
    size = batch_size or (_MOST_IMAGES if place != "cpu" else min(max(_MOST_TOKENS // side**2, 1), _MOST_IMAGES))
    streams = {split: ShardStream(shards, split=split) for split in splits}
    total = sum(len(stream) for stream in streams.values())
    with _Part(out.with_name(out.name + ".part"), settings) as part:
        batches = _batches(streams, part, size)
        for batch, x in _prepared(batches, lambda images: model.preprocess(images, fit=_fit(fit))):
            part.add(batch, tokens_of(model, x, patches=patches, layers=layers, grid=grid))
            if progress:
                progress(part.rows, total)
    return part.finish(out)


def choose(device: str, dtype: str) -> tuple[str, torch.dtype]:
    """Device and dtype; `auto` is a CUDA device where there is one, and bfloat16 where it computes in that."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float32"
    if dtype not in kinds:
        raise ValueError(f"expected a dtype of auto, {', '.join(kinds)}; got {dtype!r}")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"expected a device such as auto, cpu or cuda; got {device!r} ({error})") from error
    return device, kinds[dtype]


def tokens_of(
    model: raddino_encoders.Encoder, x: torch.Tensor, *, patches: bool, layers: int, grid: int
) -> dict[str, NDArray[np.generic]]:
    """Rows of each array of a folder of features, for a preprocessed batch."""
    found = model.encode_layers(x, layers)
    last = found[-1]
    rows = {"cls": last.cls.cpu().numpy()}
    if not model.pooled:
        rows["mean"] = last.patches.mean((2, 3)).cpu().numpy()
    if layers > 1:
        rows["layers"] = torch.stack([tokens.cls for tokens in found], 1).cpu().numpy()
    if grid:
        rows["grid"] = adaptive_avg_pool2d(last.patches.float(), grid).cpu().numpy()
    if patches:
        rows["patches"] = last.patches.half().cpu().numpy()
    return rows


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

    def add(self, batch: Batch, tokens: dict[str, NDArray[np.generic]]) -> None:
        """Append a batch; every few seconds, note the place."""
        for name, rows in tokens.items():
            if name not in self._arrays:
                self._arrays[name] = self._array(name, rows.shape[1:], str(rows.dtype))
            self._arrays[name].append(rows)
        for sample in batch.samples:
            row = {
                **sample.meta["metadata"],
                **sample.meta,
                "key": sample.key,
                "split": batch.split,
                "report": sample.report,
            }
            self._lines.write(json.dumps(row).encode() + b"\n")
        self.rows, self.split, self.position = self.rows + len(batch.samples), batch.split, batch.position
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


def _settings(model: raddino_encoders.Encoder, shards: Path, fit: str) -> dict[str, Any]:
    """What the features are a function of, besides which of them are kept."""
    preprocessing = model.preprocessing
    return {
        "encoder": model.name,
        "revision": model.revision,
        "dtype": str(model.dtype).removeprefix("torch."),
        "fit": _fit(fit) or preprocessing.fit,
        "image_size": model.image_size,
        "patch_size": model.patch_size,
        "preprocessing": {
            "mean": list(preprocessing.mean), "std": list(preprocessing.std), "short_side": preprocessing.short_side,
            "resample": preprocessing.resample, "source": preprocessing.source,
        },
        "class_token": "mean of the patch tokens" if model.pooled else "its own",
        "shards": sha256((shards / "index.json").read_bytes()).hexdigest(),
    }  # fmt: skip


def _fit(fit: str) -> Any:
    return None if fit == "released" else fit


def _splits(shards: Path) -> list[str]:
    present = info(shards)["splits"]
    return [split for split in SPLITS if split in present]


def _batches(streams: dict[str, ShardStream], part: _Part, size: int) -> Iterator[Batch]:
    """What is left of the splits, in their order."""
    names = list(streams)
    for split in names[names.index(part.split) if part.split else 0 :]:
        stream = streams[split]
        if split == part.split:
            stream.load_state_dict({**stream.state_dict(), "position": part.position})
        samples = ((stream.state_dict()["position"], sample) for sample in stream)
        while batch := list(islice(samples, size)):
            yield Batch(split, batch[-1][0], [sample for _, sample in batch])


def _prepared(
    batches: Iterator[Batch], prepare: Callable[[list[NDArray[Any]]], torch.Tensor]
) -> Iterator[tuple[Batch, torch.Tensor]]:
    """Batches with their input, which another thread prepares ahead."""
    waiting: deque[tuple[Batch, Future[torch.Tensor]]] = deque()
    with ThreadPoolExecutor(_AHEAD) as pool:
        for batch in batches:
            waiting.append((batch, pool.submit(prepare, [sample.image for sample in batch.samples])))
            if len(waiting) > _AHEAD:
                first, x = waiting.popleft()
                yield first, x.result()
        for first, x in waiting:
            yield first, x.result()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
