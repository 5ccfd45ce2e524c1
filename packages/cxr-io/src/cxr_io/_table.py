"""`samples.parquet`: one row a sample, so that labels are queried without opening a shard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cxr_io._errors import CxrError
from cxr_io._folder import Folder
from cxr_io._shards import read_parts, read_shard, sync_folder

TABLE = "samples.parquet"
_GROUP = 2048  # rows in memory; fewer would make the list of groups long
_TEXTS = ("key", "shard", "split", "patient", "study", "view", "sex", "manufacturer")
_NUMBERS = ("age", "height_cm", "weight_kg", "bmi", "spacing_row_mm", "spacing_column_mm")


def write_table(folder: Path, notes: Iterable[dict[str, Any]], labels: list[str]) -> None:
    """Write the table of some shards; a note has the shard's index entry and its samples' CRC-32s.

    Columns: key, shard, split, patient, study, view, sex, manufacturer; age, height_cm, weight_kg, bmi,
    spacing_row_mm, spacing_column_mm (floats); masks (their names), report (whether there is one), crc32 (of the
    sample's files, one after the other), and label.<name> (1, 0, -1 or null).
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = pa.schema(
        [(name, pa.string()) for name in _TEXTS]
        + [(name, pa.float64()) for name in _NUMBERS]
        + [("masks", pa.list_(pa.string())), ("report", pa.bool_()), ("crc32", pa.uint32())]
        + [(f"label.{name}", pa.int8()) for name in labels]
    )
    part = folder / f"{TABLE}.part"
    with part.open("wb") as file:
        with ParquetWriter(file, schema) as writer:
            rows = (row for note in notes for row in _rows(folder, note))
            while group := list(islice(rows, _GROUP)):
                writer.write_table(pa.Table.from_pylist(group, schema))
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / TABLE)
    sync_folder(folder)


def read_table(shards: str | Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of some shards' `samples.parquet`, as `write_table` says, or some columns; a group of rows in memory.

    `shards` is a folder or a URL that fsspec opens. Raises CxrError where there is no table or its request fails.
    """
    from pyarrow.parquet import ParquetFile

    try:
        descriptor = Folder(shards).open(TABLE)
    except FileNotFoundError as error:
        raise CxrError(
            "missing_source", f"expected {TABLE} in {shards}, found none; ingest anew, version 0.1 did not write it"
        ) from error
    with os.fdopen(descriptor, "rb") as opened, ParquetFile(opened) as file:
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()


def _rows(folder: Path, note: dict[str, Any]) -> Iterator[dict[str, Any]]:
    entry = note["shard"]
    path = folder / entry["name"]
    with path.open("rb") as file:
        for (key, parts), crc in zip(read_shard(path).items(), note["crc32"], strict=True):
            meta = json.loads(read_parts(file, {"json": parts["json"]})["json"])
            spacing = meta["spacing_mm"] or (None, None)
            yield {
                "key": key,
                "shard": entry["name"],
                "split": entry["split"],
                **{name: meta[name] for name in ("patient", "study", "view", "sex", "age")},
                **meta["metadata"],
                "spacing_row_mm": spacing[0],
                "spacing_column_mm": spacing[1],
                "masks": [name.removesuffix(".mask.png") for name in parts if name.endswith(".mask.png")],
                "report": "txt" in parts,
                "crc32": crc,
                **{f"label.{name}": value for name, value in meta["labels"].items()},
            }
