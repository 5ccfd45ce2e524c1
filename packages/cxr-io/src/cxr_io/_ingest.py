"""An archive into shards, in one pass: files go to worker processes, and come back in the order of the listing.

The order of the listing alone decides what a shard holds, so that neither the number of workers nor a kill changes a
byte. No more is in memory than the files in flight, whatever the size of the archive.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cxr_io._convert import Rejected, Settings, Taken
from cxr_io._errors import CxrError
from cxr_io._executor import Executor, Pending, choose_executor
from cxr_io._identity import find_key, pseudonym
from cxr_io._intensity import check_policy
from cxr_io._journal import Journal, Members, Recorded
from cxr_io._limits import LIMITS, Limits
from cxr_io._rejected import list_rejected
from cxr_io._sample_codec import check_codec
from cxr_io._shards import FORMAT, INDEX, ShardWriter, crc_of, file_sha256, write_atomic
from cxr_io._table import TABLE, write_table
from cxr_io.datasets import Exclusions, Layout, Record, list_items

Progress = Callable[[int, int], None]
SPLITS = ("train", "val", "test")
_WAITING = 4096  # outcomes known from the journal that may queue behind one that is still being made


@dataclass(frozen=True)
class IngestSummary:
    """What became of the archive: images accepted and rejected, why, and how many each split holds."""

    accepted: int
    rejected: int
    reasons: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)


def ingest(
    source: str | Path,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    dataset: str | Layout = "auto",
    exclude: str | Path | None = None,
    short_side: int = 518,
    bits: int = 16,
    intensity: str = "minmax",
    codec: str = "png",
    workers: int | None = None,
    samples_per_shard: int = 256,
    key: str | None = None,
    limits: Limits = LIMITS,
    executor: str = "local",
    address: str | None = None,
    progress: Progress | None = None,
) -> IngestSummary:
    """Read every radiograph under `source` and write shards, `index.json`, `samples.parquet` and `rejected.jsonl`.

    `short_side` in pixels; `bits` 16 or 8; `intensity` one of `POLICIES`; `codec` one of `CODECS`; `dataset` one of
    `DATASETS` or a `Layout`; `labels` a CSV whose column `path` names files of the source, or another copy of the
    layout's own table; `exclude` a text file of images, patients or studies to leave out, one a line, which are
    rejected as `excluded`. `key` (or the environment's CXR_IO_KEY) is the secret behind the pseudonyms; without one,
    `<out>.key` is made. `workers` are processes (default: one per core); 0 converts in this one, where a codec that
    crashes takes the run with it. `limits` are the most pixels and bytes of one file. `executor` is `local`, or `ray`:
    then files are converted on the Ray cluster at `address`, by default the one that runs here, whose nodes must see
    the source under the same path. The same source and key give the same bytes wherever and by however many workers.
    Run again, it goes on where it stopped, however it was stopped; an output with other settings is refused. Files that
    are no radiographs are listed, not fatal: with names in `<out>.rejected.jsonl`, and by hash alone among the shards.
    Nothing accepted at all is a `CxrError`.
    """
    source, out = Path(source), Path(out)
    check_policy(intensity)
    check_codec(codec)
    if bits not in (8, 16):
        raise CxrError("usage", f"expected 8 or 16 bits, got {bits}")
    if short_side < 16 or samples_per_shard < 1:
        raise CxrError(
            "usage",
            f"expected a short side of 16 pixels or more and a sample a shard, got {short_side}, {samples_per_shard}",
        )
    layout, items = list_items(source, dataset, Path(labels) if labels else None)
    exclusions = Exclusions(Path(exclude)) if exclude else None
    settings = Settings(short_side, bits, intensity, codec, find_key(out, key), exclusions, limits)
    parameters = {
        "short_side": short_side, "bits": bits, "intensity": intensity, "codec": codec, "dataset": layout,
        "samples_per_shard": samples_per_shard, "limits": asdict(limits),
        "exclude": pseudonym(settings.key, "exclude", exclusions.digest) if exclusions else None,
    }  # fmt: skip
    secret = pseudonym(settings.key, "key", "")
    place = _place(source)
    try:
        with closing(Journal(out, {**parameters, "key": secret}, settings.key)) as journal:
            total = journal.compare(items, progress)
            shards = _Shards(journal)
            with choose_executor(executor, settings, workers, address) as pool, closing(shards):
                for done, (recorded, outcome) in enumerate(_outcomes(items, journal, shards, pool), 1):
                    if isinstance(outcome, Rejected) and _place(source) != place:
                        raise CxrError(
                            "vanished", f"expected {source} to stay, it is gone; bring it back and run again"
                        )
                    shards.take(recorded, outcome)
                    if progress:
                        progress(done, max(done, total))
                if done < total:
                    raise CxrError(
                        "vanished", f"expected {total:,} files in {source}, now {done:,} are left; run again"
                    )
                shards.finish()
            return _finish(journal, shards, parameters)
    except OSError as error:
        raise CxrError(
            "unwritable", f"stopped: {error}; what is finished is kept, run again once this is mended to go on"
        ) from error


def _place(source: Path) -> tuple[int, int] | None:
    """What the source's path stands for; another after an unmount."""
    try:
        found = source.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


Outcome = Taken | Rejected | None
"""What became of an item; None where the journal knows and nothing is to be done."""


def _outcomes(
    items: Iterable[Record], journal: Journal, shards: _Shards, pool: Executor
) -> Iterator[tuple[Recorded | None, Outcome]]:
    """What the journal knows of each item and what a worker made of it, in the order of the listing."""
    waiting: deque[tuple[Record, Recorded | None, Pending | None]] = deque()
    flying = 0

    def first() -> tuple[Recorded | None, Outcome]:
        item, recorded, future = waiting.popleft()
        outcome = future.result() if future else None
        if recorded and isinstance(outcome, Rejected):
            raise CxrError(
                outcome.code,
                f"{item.name} was taken before and is not now ({outcome.reason}); mend that, or delete {journal.out} "
                "and begin anew",
            )
        return recorded, outcome

    recorded_items = journal.recorded()
    ahead = {split: journal.members(split) for split in SPLITS}
    for item in items:
        recorded = next(recorded_items, None)
        if recorded and not journal.is_of(recorded, item):
            raise CxrError("vanished", f"expected the source to stay as it is, {item.name} changed; run again to go on")
        future = None
        if recorded is None or not shards.known(recorded, ahead):
            future = journal.kept.find(recorded.mark if recorded else journal.mark(item)) or pool.submit(item)
            flying += 1
        waiting.append((item, recorded, future))
        while waiting and (waiting[0][2] is None or flying >= pool.ahead or len(waiting) > _WAITING):
            flying -= waiting[0][2] is not None
            yield first()
    while waiting:
        yield first()


class _Shards:
    """The shard of each split that is being filled, and what the index says of those that are whole."""

    def __init__(self, journal: Journal) -> None:
        self.entries: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        self.labels: set[str] = set()
        self._journal = journal
        self._members = {split: journal.members(split) for split in SPLITS}
        self._open: dict[str, _Open] = {}

    def known(self, recorded: Recorded, ahead: dict[str, Members]) -> bool:
        """Whether a recorded item needs no work; `ahead` counts those that were asked for."""
        if recorded.outcome.startswith("-"):
            return True
        members = ahead[recorded.outcome]
        whole = members.shard in self._journal.whole
        if members.add(recorded.mark):
            members.turn()
        return whole

    def take(self, recorded: Recorded | None, outcome: Outcome) -> None:
        """Put an item where it belongs; called in the order of the listing."""
        if isinstance(outcome, Rejected):
            self._journal.reject(outcome)
            return
        if recorded is None and outcome is not None:
            self._journal.record(outcome.mark, outcome.split)
            recorded = Recorded(outcome.mark, outcome.split)
        if recorded is None or recorded.outcome.startswith("-"):
            return
        members = self._members[recorded.outcome]
        if outcome is not None:
            if members.split not in self._open:
                (self._journal.out / INDEX).unlink(missing_ok=True)  # which speaks of shards as they were
                self._open[members.split] = _Open(self._journal.out / members.shard)
            self._open[members.split].add(outcome)
        if members.add(recorded.mark):
            self._turn(members)

    def finish(self) -> None:
        """Close the shards that the end of the listing left half full."""
        for members in self._members.values():
            if members.count:
                self._turn(members)
        self._journal.sync()

    def close(self) -> None:
        """Give up what is still open, also a file on whose opening an interrupt came."""
        for shard in self._open.values():
            shard.writer.abandon()
        for part in self._journal.out.glob("*.tar.part"):
            part.unlink()

    def _turn(self, members: Members) -> None:
        if members.split in self._open:
            note = self._open[members.split].close(members.split)
            del self._open[members.split]
            self._journal.finish(members, note)
        else:
            note = self._journal.whole[members.shard]
        self.entries[members.split].append(note["shard"])
        self.labels.update(note["labels"])
        members.turn()


class _Open:
    """A shard that is being filled, with what its note will say."""

    def __init__(self, path: Path) -> None:
        self.writer = ShardWriter(path)
        self._marks: list[str] = []
        self._crcs: list[int] = []
        self._labels: set[str] = set()

    def add(self, taken: Taken) -> None:
        self.writer.add(taken.sample)
        self._marks.append(taken.mark)
        self._crcs.append(crc_of(data for _, data in taken.sample.files))
        self._labels.update(taken.labels)

    def close(self, split: str) -> dict[str, Any]:
        return {
            "shard": {**self.writer.close(), "split": split},
            "labels": sorted(self._labels),
            "marks": self._marks,
            "crc32": self._crcs,
        }


def _finish(journal: Journal, shards: _Shards, preprocessing: dict[str, Any]) -> IngestSummary:
    out = journal.out
    entries = [entry for split in SPLITS for entry in shards.entries[split]]
    reasons, first = list_rejected(out, journal.names)
    splits = {split: sum(entry["samples"] for entry in shards.entries[split]) for split in SPLITS}
    if not entries:
        told = ", ".join(f"{count} {code}" for code, count in reasons.items())
        raise CxrError("nothing_accepted", f"expected radiographs, accepted none ({told}); first: {first}")
    keep = {entry["name"] for entry in entries}
    index = {"format": FORMAT, "preprocessing": preprocessing, "splits": splits, "shards": entries}
    if not _stands(out, index):
        journal.forget(keep)
        for stale in [*out.glob("*.tar"), *out.glob("*.part")]:
            if stale.name not in keep:
                stale.unlink()
        write_table(out, (journal.note(entry["name"]) for entry in entries), sorted(shards.labels))
        table = {"name": TABLE, "bytes": (out / TABLE).stat().st_size, "sha256": file_sha256(out / TABLE)}
        write_atomic(out / INDEX, (json.dumps({**index, "samples": table}, indent=1) + "\n").encode())
    return IngestSummary(sum(splits.values()), sum(reasons.values()), reasons, splits)


def _stands(out: Path, index: dict[str, Any]) -> bool:
    """Whether the index that is there says the same."""
    with suppress(FileNotFoundError, ValueError):
        found = json.loads((out / INDEX).read_bytes())
        table = found.pop("samples")
        return bool(table["bytes"] == (out / TABLE).stat().st_size and found == index)
    return False
