"""What shards hold, and whether they still hold it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_io._errors import CxrError
from cxr_io._shards import crc_of, decode, file_sha256, read_index, read_parts, read_shard
from cxr_io._table import TABLE, read_table


@dataclass(frozen=True)
class Damage:
    """Something wrong with a shard, or with one sample of it."""

    shard: str
    sample: str | None
    problem: str


def info(shards: str | Path) -> dict[str, Any]:
    """Samples, patients, bytes and label counts of each split, and the preprocessing; opens no shard."""
    index = read_index(shards)
    patients: dict[str, set[str]] = defaultdict(set)
    views: dict[str, Counter[str]] = defaultdict(Counter)
    labels: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in read_table(shards):
        split = row["split"]
        patients[split].add(row["patient"])
        views[split][row["view"] or "unknown"] += 1
        for name, value in row.items():
            if name.startswith("label."):
                word = {1: "positive", 0: "negative", -1: "uncertain", None: "blank"}[value]
                labels[split][name.removeprefix("label.")][word] += 1
    splits = {}
    for split in patients:
        entries = [entry for entry in index["shards"] if entry["split"] == split]
        splits[split] = {
            "samples": sum(entry["samples"] for entry in entries),
            "patients": len(patients[split]),
            "shards": len(entries),
            "bytes": sum(entry["bytes"] for entry in entries),
            "views": dict(views[split]),
            "labels": {name: dict(counts) for name, counts in labels[split].items()},
        }
    return {"format": index["format"], "preprocessing": index["preprocessing"], "splits": splits}


def verify(shards: str | Path, *, progress: Callable[[int, int], None] | None = None) -> list[Damage]:
    """Compare every file with its hash and decode every sample; the list of what is wrong, empty when all is well.

    Where a shard is damaged, the samples that are hurt are named.
    """
    folder, index = Path(shards), read_index(shards)
    found, crcs = _table(folder, index)
    for number, entry in enumerate(index["shards"], 1):
        path = folder / entry["name"]
        if not path.exists():
            found.append(Damage(entry["name"], None, "missing"))
        else:
            if file_sha256(path) != entry["sha256"]:
                found.append(Damage(entry["name"], None, "the bytes are not those that were written (SHA-256 differs)"))
            found += _samples(path, entry["samples"], crcs.get(entry["name"], {}))
        if progress:
            progress(number, len(index["shards"]))
    return found


def _table(folder: Path, index: dict[str, Any]) -> tuple[list[Damage], dict[str, dict[str, int]]]:
    """What is wrong with the table of samples and, where it is well, the CRC-32 of each sample by shard and key."""
    if "samples" not in index:  # as version 0.1 wrote it
        return [], {}
    path = folder / TABLE
    if not path.exists() or file_sha256(path) != index["samples"]["sha256"]:
        return [Damage(TABLE, None, "missing, or not the bytes that were written (SHA-256 differs)")], {}
    crcs: dict[str, dict[str, int]] = defaultdict(dict)
    for row in read_table(folder, ["shard", "key", "crc32"]):
        crcs[row["shard"]][row["key"]] = row["crc32"]
    return [], crcs


def _samples(path: Path, expected: int, crcs: dict[str, int]) -> list[Damage]:
    try:
        places = read_shard(path)
    except CxrError as error:
        return [Damage(path.name, None, str(error))]
    found = []
    if len(places) != expected:
        found.append(Damage(path.name, None, f"expected {expected} samples, got {len(places)}"))
    with path.open("rb") as file:
        for key, parts in places.items():
            files = read_parts(file, parts)
            try:
                decode(key, files)
            except CxrError as error:
                found.append(Damage(path.name, key, str(error)))
            else:
                if key in crcs and crc_of(files.values()) != crcs[key]:
                    found.append(Damage(path.name, key, "the bytes are not those that were written (CRC-32 differs)"))
        found += [Damage(path.name, key, "missing") for key in crcs if key not in places]
    return found
