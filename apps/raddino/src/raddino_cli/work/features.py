"""Features on disk: arrays `<name>.npy` with a row an image, `samples.parquet` and `features.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cxr_io import CxrError, Sample, ShardStream
from numpy.typing import NDArray

FORMAT = 2
"""Of `features.json`; 1 had no `keys`, no means and no layers, and loads all the same."""
SPLITS = ("train", "val", "test")
_TEXTS = ("key", "split", "patient", "study", "view", "sex", "manufacturer", "report")
_NUMBERS = ("age", "height_cm", "weight_kg", "bmi")
_OPTIONAL = ("mean", "layers", "grid", "patches")
_GROUP = 2048  # rows of a table in memory


class NothingToMeasureError(ValueError):
    """The data lack what an evaluation needs: no masks, no reports, no targets."""


@dataclass(frozen=True)
class Features:
    """Frozen features of N images, on disk until used; `samples` by column.

    `cls` (N, D) class tokens, `patches` (N, D, h, w), `mean` (N, D) of the patch tokens, `layers` (N, L, D) the class
    tokens of the last L layers, `grid` (N, D, g, g) the patch tokens averaged in g x g cells; `facts` is
    `features.json`.
    """

    cls: NDArray[np.float32]
    patches: NDArray[np.float16] | None
    samples: dict[str, list[Any]]
    encoder: str
    mean: NDArray[np.float32] | None = None
    layers: NDArray[np.float32] | None = None
    grid: NDArray[np.float32] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def choices(self) -> dict[str, NDArray[np.float64]]:
        """What a linear probe may read, by name, (N, D): the class token, with the mean patch, of several layers, with
        the patches of each cell of a grid."""
        cls = self.cls.astype(np.float64)
        found = {"class": cls}
        mean = self.mean
        if mean is None and self.patches is not None:
            chunks = (self.patches[i : i + 256] for i in range(0, len(cls), 256))
            mean = np.concatenate([chunk.mean(axis=(2, 3), dtype=np.float64) for chunk in chunks])
        if mean is not None:
            found["class and mean patch"] = np.concatenate((cls, mean), axis=1)
        if self.layers is not None:
            found[f"class of {self.layers.shape[1]} layers"] = self.layers.reshape(len(cls), -1).astype(np.float64)
        if self.grid is not None:
            side, cells = self.grid.shape[-1], self.grid.reshape(len(cls), -1)
            found[f"class and {side} x {side} patches"] = np.concatenate((cls, cells), axis=1)
        return found

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


def load_features(folder: Path) -> Features:
    """Features that `embed` wrote, proven whole: as many rows of each kind, in the order of the keys.

    Arrays stay on disk until they are used.
    """
    try:
        facts = json.loads((folder / "features.json").read_bytes())
        samples = pq.read_table(folder / "samples.parquet").to_pydict()
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("cls", *_OPTIONAL)
            if name == "cls" or (folder / f"{name}.npy").exists()
        }
        encoder, keys = facts["encoder"], samples["key"]
    except (FileNotFoundError, ValueError, KeyError, pa.ArrowException) as error:
        raise ValueError(f"expected a folder that `raddino embed` wrote at {folder}: {error}") from error
    for name, array in arrays.items():
        if len(array) != len(keys):
            raise ValueError(f"{folder}: expected as many rows as samples, {len(keys)}, got {len(array)} in {name}.npy")
    if facts.get("keys", digest(keys)) != digest(keys):
        raise ValueError(f"{folder}: expected samples.parquet in the order of the features, got another; embed again")
    return Features(arrays.pop("cls"), arrays.pop("patches", None), samples, encoder, facts=facts, **arrays)


def digest(keys: Iterable[str]) -> str:
    """SHA-256 of keys in their order, which says that two tables have the same rows."""
    return sha256("\n".join(keys).encode()).hexdigest()


def write_samples(lines: Path, out: Path) -> list[str]:
    """A line of JSON for each row as a table, a few rows in memory at a time; returns the keys."""
    with lines.open("rb") as file:
        labels = list(dict.fromkeys(name for line in file for name in json.loads(line)["labels"]))
    fields = [(name, pa.string()) for name in _TEXTS]
    fields += [(name, pa.float64()) for name in (*_NUMBERS, *(f"label.{name}" for name in labels))]
    keys: list[str] = []
    with lines.open("rb") as file, pq.ParquetWriter(out, pa.schema(fields)) as writer:
        while chunk := [json.loads(line) for line in islice(file, _GROUP)]:
            writer.write_table(_table(chunk, labels, pa.schema(fields)))
            keys += [row["key"] for row in chunk]
    return keys


def _table(rows: list[dict[str, Any]], labels: list[str], schema: pa.Schema) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in _TEXTS}
    columns |= {name: [_number(row.get(name)) for row in rows] for name in _NUMBERS}
    columns |= {f"label.{name}": [_number(row["labels"].get(name)) for row in rows] for name in labels}
    return pa.table(columns, schema)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
