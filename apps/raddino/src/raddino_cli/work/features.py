"""Features on disk: `cls.npy`, `patches.npy`, `samples.parquet`, `features.json`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import raddino_encoders
from cxr_io import CxrError, Sample, ShardStream
from numpy.typing import NDArray

from raddino_cli.console import Progress

SPLITS = ("train", "val", "test")
_TEXTS = ("key", "split", "patient", "study", "view", "sex", "manufacturer", "report")
_NUMBERS = ("age", "height_cm", "weight_kg", "bmi")


class NothingToMeasureError(ValueError):
    """The data lack what an evaluation needs: no masks, no reports, no targets."""


@dataclass(frozen=True)
class Features:
    """Frozen features of N images. `cls` (N, D); `patches` (N, D, h, w) or None; `samples` by column."""

    cls: NDArray[np.float32]
    patches: NDArray[np.float16] | None
    samples: dict[str, list[Any]]
    encoder: str

    @cached_property
    def choices(self) -> dict[str, NDArray[np.float64]]:
        """What a linear probe may read, by name, (N, D): the class token, and with the mean of the patch tokens."""
        cls = self.cls.astype(np.float64)
        if self.patches is None:
            return {"class": cls}
        mean = np.concatenate(
            [self.patches[i : i + 256].mean(axis=(2, 3), dtype=np.float64) for i in range(0, len(cls), 256)]
        )
        return {"class": cls, "class and mean patch": np.concatenate((cls, mean), axis=1)}

    def rows(self, split: str) -> NDArray[np.intp]:
        """Which images a split has."""
        return np.flatnonzero(np.array(self.samples["split"]) == split)

    def column(self, name: str) -> NDArray[Any]:
        """One column of the samples."""
        return np.array(self.samples[name])

    @property
    def labels(self) -> list[str]:
        """Names of the labels."""
        return [name.removeprefix("label.") for name in self.samples if name.startswith("label.")]


def read_split(shards: Path, split: str) -> list[Sample]:
    """All samples of a split, none if the shards have no such split."""
    try:
        return list(ShardStream(shards, split=split))
    except CxrError as error:
        if error.code == "no_split":
            return []
        raise


def embed(
    shards: Path,
    encoder: str,
    out: Path,
    *,
    patches: bool = False,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> int:
    """Write the features of every image of some shards; returns how many. The folder appears whole or not at all."""
    model = raddino_encoders.load(encoder)
    samples = [(split, sample) for split in SPLITS for sample in read_split(shards, split)]
    images = [sample.image for _, sample in samples]
    tokens = model.embed(images, batch_size, progress, fit="crop", patches=patches)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    np.save(part / "cls.npy", tokens.cls)
    if patches:
        np.save(part / "patches.npy", tokens.patches.astype(np.float16))
    pq.write_table(_table(samples), part / "samples.parquet")
    facts = {
        "format": 1,
        "encoder": model.name,
        "fit": "crop",
        "image_size": model.image_size,
        "patch_size": model.patch_size,
    }
    (part / "features.json").write_text(json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    part.replace(out)
    return len(samples)


def load_features(folder: Path) -> Features:
    """Features that `embed` wrote; patch tokens stay on disk until they are used."""
    try:
        facts = json.loads((folder / "features.json").read_bytes())
        cls = np.load(folder / "cls.npy", allow_pickle=False)
        samples = pq.read_table(folder / "samples.parquet").to_pydict()
    except (FileNotFoundError, ValueError, KeyError, pa.ArrowException) as error:
        raise ValueError(f"expected a folder that `raddino embed` wrote at {folder}: {error}") from error
    path = folder / "patches.npy"
    patches = np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None
    return Features(cls, patches, samples, facts["encoder"])


def _table(samples: Sequence[tuple[str, Sample]]) -> pa.Table:
    labels = list(dict.fromkeys(name for _, sample in samples for name in sample.meta["labels"]))
    columns: dict[str, list[Any]] = {name: [] for name in (*_TEXTS, *_NUMBERS, *(f"label.{name}" for name in labels))}
    for split, sample in samples:
        known = {**sample.meta["metadata"], **sample.meta, "key": sample.key, "split": split, "report": sample.report}
        for name in _TEXTS:
            columns[name].append(known.get(name))
        for name in _NUMBERS:
            columns[name].append(_number(known.get(name)))
        for name in labels:
            columns[f"label.{name}"].append(_number(sample.meta["labels"].get(name)))
    types = {name: pa.string() for name in _TEXTS}
    return pa.table({name: pa.array(values, types.get(name, pa.float64())) for name, values in columns.items()})


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
