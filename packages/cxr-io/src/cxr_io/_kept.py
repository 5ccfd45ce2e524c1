"""Samples of shards that an earlier run wrote and that are cut otherwise now: copied, not converted again."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from cxr_io._convert import Rejected, Taken
from cxr_io._errors import CxrError
from cxr_io._shards import Encoded, Places, crc_of, read_parts, read_shard


class Kept:
    """The samples of the shards in a folder, each a tar file and its note, by the marks of their items.

    In memory are twenty bytes a sample.
    """

    def __init__(self, folder: Path) -> None:
        self._shards: list[tuple[Path, str]] = []
        self._open: tuple[int, list[tuple[str, Places]]] | None = None
        marks, crcs, places = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)], [np.empty((0, 2), np.uint32)]
        for path in sorted(folder.glob("*.json")):
            note = json.loads(path.read_bytes())
            count = len(note["marks"])
            marks.append(np.array([int(made, 16) for made in note["marks"]], np.uint64))
            crcs.append(np.array(note["crc32"], np.uint32))
            places.append(np.stack([np.full(count, len(self._shards)), np.arange(count)], axis=1).astype(np.uint32))
            self._shards.append((path.with_suffix(".tar"), note["shard"]["split"]))
        together = np.concatenate(marks)
        order = np.argsort(together, kind="stable")
        self._marks, self._crcs = together[order], np.concatenate(crcs)[order]
        self._places = np.concatenate(places)[order]

    def find(self, mark: str) -> Future[Taken | Rejected] | None:
        """The sample of an item that has this mark still; None where there is none, or it is damaged."""
        wanted = np.uint64(int(mark, 16))
        at = int(np.searchsorted(self._marks, wanted))
        if at == len(self._marks) or self._marks[at] != wanted:
            return None
        shard, number = self._places[at].tolist()
        path, split = self._shards[shard]
        try:
            if self._open is None or self._open[0] != shard:
                self._open = (shard, list(read_shard(path).items()))
            key, parts = self._open[1][number]
            with path.open("rb") as file:
                files = read_parts(file, parts)
        except (CxrError, OSError, IndexError):
            return None
        if crc_of(files.values()) != self._crcs[at]:
            return None
        labels = tuple(json.loads(files["json"])["labels"])
        done: Future[Any] = Future()
        done.set_result(Taken(mark, split, Encoded(key, tuple(files.items())), labels))
        return done
