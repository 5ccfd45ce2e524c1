"""What shards hold, and whether they still hold it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_io._errors import CxrError
from cxr_io._shards import decode, file_sha256, read_index, read_parts, read_shard


@dataclass(frozen=True)
class Damage:
    """Something wrong with a shard, or with one sample of it."""

    shard: str
    sample: str | None
    problem: str


def info(shards: str | Path) -> dict[str, Any]:
    """Samples, patients, bytes and label counts of each split, and the preprocessing."""
    index = read_index(shards)
    splits: dict[str, dict[str, Any]] = {}
    for split in dict.fromkeys(entry["split"] for entry in index["shards"]):
        entries = [entry for entry in index["shards"] if entry["split"] == split]
        patients: set[str] = set()
        labels: dict[str, Counter[str]] = defaultdict(Counter)
        views: Counter[str] = Counter()
        for entry in entries:
            path = Path(shards) / entry["name"]
            with path.open("rb") as file:
                for parts in read_shard(path).values():
                    meta = json.loads(read_parts(file, {"json": parts["json"]})["json"])
                    patients.add(meta["patient"])
                    views[meta["view"] or "unknown"] += 1
                    for name, value in meta["labels"].items():
                        word = {1: "positive", 0: "negative", -1: "uncertain", None: "blank"}[value]
                        labels[name][word] += 1
        splits[split] = {
            "samples": sum(entry["samples"] for entry in entries),
            "patients": len(patients),
            "shards": len(entries),
            "bytes": sum(entry["bytes"] for entry in entries),
            "views": dict(views),
            "labels": {name: dict(counts) for name, counts in labels.items()},
        }
    return {"format": index["format"], "preprocessing": index["preprocessing"], "splits": splits}


def verify(shards: str | Path, *, progress: Callable[[int, int], None] | None = None) -> list[Damage]:
    """Compare every shard with its hash and decode every sample; the list of what is wrong, empty when all is well."""
    index = read_index(shards)
    found: list[Damage] = []
    for number, entry in enumerate(index["shards"], 1):
        path = Path(shards) / entry["name"]
        if not path.exists():
            found.append(Damage(entry["name"], None, "missing"))
        else:
            if file_sha256(path) != entry["sha256"]:
                found.append(Damage(entry["name"], None, "the bytes are not those that were written (SHA-256 differs)"))
            found += _samples(path, entry["samples"])
        if progress:
            progress(number, len(index["shards"]))
    return found


def _samples(path: Path, expected: int) -> list[Damage]:
    try:
        places = read_shard(path)
    except CxrError as error:
        return [Damage(path.name, None, str(error))]
    found = []
    if len(places) != expected:
        found.append(Damage(path.name, None, f"expected {expected} samples, got {len(places)}"))
    with path.open("rb") as file:
        for key, parts in places.items():
            try:
                decode(key, read_parts(file, parts))
            except CxrError as error:
                found.append(Damage(path.name, key, str(error)))
    return found
