"""What an ingest has done so far, so that one that was stopped anywhere goes on as if it never had been.

`<out>/.journal/settings.json` says how the output was begun. `items` has one line for each item in the order of the
listing: its mark, then the split it went to, or `-` and the code of its rejection. `<shard>.json` is written when a
shard is whole. None of them names a file: the rejected ones are named in `<out>.rejected.jsonl`, beside the shards and
not among them, since the name of a file often names a patient.

The journal holds as far as the listing is the same: from the first item that was changed, added or removed, shards are
written anew, but for those that were whole before it. The others are set aside in `before` until the run ends, so that
items that are the same are copied out of them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cxr_io._convert import Rejected, mark
from cxr_io._errors import CxrError
from cxr_io._identity import private, pseudonym
from cxr_io._kept import Kept
from cxr_io._shards import INDEX, write_atomic
from cxr_io.datasets import Record

FOLDER = ".journal"
_BEFORE = "before"
_FORMAT = 3
_TOLD = 1000  # items between two signs of life while listing


class Recorded(NamedTuple):
    """A line of `items`: the item's mark, and its split, or `-` and a rejection's code."""

    mark: str
    outcome: str


class Members:
    """The items of one split in order, cut into shards of `size`; each shard has a digest of its members' marks."""

    def __init__(self, split: str, size: int) -> None:
        self.split, self._size, self.number, self.count = split, size, 0, 0
        self._digest = sha256()

    @property
    def shard(self) -> str:
        """The name of the shard that the next member goes to, or went to."""
        return f"{self.split}-{self.number:06d}.tar"

    @property
    def digest(self) -> str:
        """Of the members of this shard so far."""
        return self._digest.hexdigest()

    def add(self, made: str) -> bool:
        """Count a member in; whether its shard is full now."""
        self._digest.update(made.encode())
        self.count += 1
        return self.count == self._size

    def turn(self) -> None:
        """Go to the next shard."""
        self.number, self.count, self._digest = self.number + 1, 0, sha256()


class Journal:
    """The journal of one output, held by one run at a time."""

    def __init__(self, out: Path, settings: dict[str, Any], key: bytes) -> None:
        self.out, self._folder, self._key, self._size = out, out / FOLDER, key, settings["samples_per_shard"]
        self.names = out.with_name(out.name + ".rejected.jsonl")
        self.whole: dict[str, dict[str, Any]] = {}
        self._claim({"journal": _FORMAT, **settings})
        self._items = (self._folder / "items").open("a+b")
        self._named = private(self.names, "a+")
        try:
            fcntl.flock(self._items, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise CxrError("usage", f"expected {out} for this run alone; another one is writing there") from error

    def close(self) -> None:
        """Let go of the files; what was recorded is kept."""
        for file in (self._named, self._items):
            with suppress(OSError):  # a full disk takes no last line, which only means work to be done again
                file.close()

    def compare(self, items: Iterable[Record], progress: Callable[[int, int], None] | None) -> int:
        """Go through a listing once, without reading an image: how many items it has.

        Keeps of the journal what is still true of it, and finds the shards (`whole`) that need not be written again.
        """
        members = {split: Members(split, self._size) for split in ("train", "val", "test")}
        total, items_end, names_end, same = 0, 0, 0, True
        self._items.seek(0)
        names = self.names.open("rb")
        with names:
            for total, item in enumerate(items, 1):
                if same and (line := _line(self._items)) and self.is_of(line, item):
                    if not line.outcome.startswith("-"):
                        if members[line.outcome].add(line.mark):
                            self._look(members[line.outcome])
                            members[line.outcome].turn()
                    elif _file(names.readline()) == item.name:
                        names_end = names.tell()
                    else:
                        same = False
                    items_end = self._items.tell() if same else items_end
                else:
                    same = False
                if progress and total % _TOLD == 0:
                    progress(0, total)
        if same:
            for split in members.values():
                self._look(split)
        self._items.truncate(items_end)
        os.truncate(self.names, names_end)
        self._end = items_end
        self._set_aside()
        return total

    def recorded(self) -> Iterator[Recorded]:
        """What the journal still holds after `compare`, in order."""
        with (self._folder / "items").open("rb") as file:
            while file.tell() < self._end:
                if line := _line(file):
                    yield line

    def is_of(self, recorded: Recorded, item: Record) -> bool:
        """Whether a line is that of an item as it is now."""
        return recorded.mark == self.mark(item)

    def mark(self, item: Record) -> str:
        """The mark of an item as it is now."""
        return mark(item, self._key)

    def members(self, split: str) -> Members:
        """A new count of a split's members."""
        return Members(split, self._size)

    def note(self, shard: str) -> dict[str, Any]:
        """What was noted of a shard when it was whole."""
        found: dict[str, Any] = json.loads((self._folder / f"{shard}.json").read_bytes())
        return found

    def record(self, made: str, split: str) -> None:
        """An item went to a split."""
        self._items.write(f"{made} {split}\n".encode())

    def reject(self, rejected: Rejected) -> None:
        """An item was not taken."""
        line = {
            "file": rejected.file, "key": pseudonym(self._key, "image", rejected.file), "code": rejected.code,
            "reason": rejected.reason,
        }  # fmt: skip
        self._named.write(json.dumps(line) + "\n")
        self._items.write(f"{rejected.mark} -{rejected.code}\n".encode())

    def finish(self, members: Members, note: dict[str, Any]) -> None:
        """A shard is whole; called once its file has its name."""
        self.sync()
        write_atomic(self._folder / f"{members.shard}.json", json.dumps({"members": members.digest, **note}).encode())

    def sync(self) -> None:
        """Put on the disk what was recorded; names first, since a rejection without its name is done again."""
        for file in (self._named, self._items):
            file.flush()
            os.fsync(file.fileno())

    def forget(self, keep: set[str]) -> None:
        """Drop the notes of shards that are no more, and what an interrupted run left."""
        for path in self._folder.iterdir():
            if path.suffix == ".part" or (path.name.endswith(".tar.json") and path.stem not in keep):
                path.unlink()
        shutil.rmtree(self._folder / _BEFORE, ignore_errors=True)

    def _claim(self, settings: dict[str, Any]) -> None:
        """Make sure that the output is ours and was begun with these settings."""
        note = self._folder / "settings.json"
        try:
            if note.exists():
                self._agree(json.loads(note.read_bytes()), settings)
                return
            # The folder of the journal alone is what a run leaves that was killed before it could say how it began.
            if self.out.is_file() or (self.out.is_dir() and {path.name for path in self.out.iterdir()} - {FOLDER}):
                raise CxrError(
                    "usage", f"expected {self.out} to be new, empty or a folder of shards; it holds other files"
                )
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(note, json.dumps(settings, indent=1).encode())
        except OSError as error:
            raise CxrError("unwritable", f"expected to write under {self.out}: {error}") from error

    def _agree(self, found: dict[str, Any], settings: dict[str, Any]) -> None:
        names = [name for name in settings if found.get(name) != settings[name]]
        if names:
            was, now = (" and ".join(f"{name} {have.get(name)}" for name in names) for have in (found, settings))
            raise CxrError(
                "usage",
                f"{self.out} was begun with {was}, and now {now} was asked for; choose another output, or delete "
                "this one",
            )

    def _set_aside(self) -> None:
        """Put shards away that the listing cuts otherwise now; `kept` has the samples of all that were."""
        before = self._folder / _BEFORE
        for note in list(self._folder.glob("*.tar.json")):
            shard = self.out / note.stem
            if shard.name not in self.whole and shard.exists():
                (self.out / INDEX).unlink(missing_ok=True)  # which speaks of shards as they were
                before.mkdir(exist_ok=True)
                place = before / json.loads(note.read_bytes())["members"]
                shard.replace(place.with_suffix(".tar"))
                note.replace(place.with_suffix(".json"))
        self.kept = Kept(before)

    def _look(self, members: Members) -> None:
        """Take a shard's note if the shard is there with the members that it would have now."""
        try:
            note = json.loads((self._folder / f"{members.shard}.json").read_bytes())
            size = (self.out / members.shard).stat().st_size
        except (FileNotFoundError, ValueError):
            return
        if note["members"] == members.digest and note["shard"]["bytes"] == size:
            self.whole[members.shard] = note


def _line(file: Any) -> Recorded | None:
    """The next line of `items`; None at the end or where a kill tore it."""
    words = file.readline().decode().split(" ")
    return Recorded(words[0], words[1][:-1]) if len(words) == 2 and words[1].endswith("\n") else None


def _file(line: bytes) -> str | None:
    try:
        return str(json.loads(line)["file"]) if line.endswith(b"\n") else None
    except (ValueError, KeyError):
        return None
