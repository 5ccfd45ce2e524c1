"""A process of its own, for its peak memory: the scheduler of ingest over a million items that nobody decodes."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from cxr_io._convert import Rejected, Settings, Taken, mark
from cxr_io._identity import split_of
from cxr_io._ingest import _finish, _outcomes, _Shards
from cxr_io._journal import Journal
from cxr_io._pool import Pool
from cxr_io._shards import Encoded
from cxr_io.datasets import Record

_ITEMS = 1_000_000
_KEY = b"a key of a benchmark"
_META = (
    b'{"patient": "", "study": "", "view": null, "sex": null, "age": null, "spacing_mm": null, "labels": {}, '
    b'"metadata": {"height_cm": null, "weight_kg": null, "bmi": null, "manufacturer": null}}'
)


class _NothingDecoded(Pool):
    """A pool whose workers answer at once: every tenth item is rejected."""

    def submit(self, item: Record) -> Future[Taken | Rejected]:
        done: Future[Taken | Rejected] = Future()
        made = mark(item, _KEY)
        if item.name.endswith("7"):
            done.set_result(Rejected(made, item.name, "unreadable", "expected pixels"))
        else:
            sample = Encoded(made, (("json", _META),))
            done.set_result(Taken(made, split_of(_KEY, item.name), sample, ()))
        return done


def _items() -> Iterator[Record]:
    for number in range(_ITEMS):
        yield Record(f"folder/{number:07d}", Path("nowhere"))


def _ingest(out: Path) -> float:
    start = time.perf_counter()
    journal = Journal(out, {"samples_per_shard": 256}, _KEY)
    journal.compare(_items(), None)
    shards = _Shards(journal)
    with _NothingDecoded(0, Settings(518, 16, "minmax", "png", _KEY)) as pool:
        for recorded, outcome in _outcomes(_items(), journal, shards, pool):
            shards.take(recorded, outcome)
    shards.finish()
    summary = _finish(journal, shards, {})
    journal.close()
    if summary.accepted + summary.rejected != _ITEMS:
        raise RuntimeError(f"expected {_ITEMS} items, got {summary}")
    return time.perf_counter() - start


def main() -> None:
    """Print what a million items take."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as place:
        begun, again = _ingest(Path(place) / "out"), _ingest(Path(place) / "out")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    print(
        f"{_ITEMS:,} items: {begun / _ITEMS * 1e6:.0f} us an item, {again / _ITEMS * 1e6:.0f} us when taken up again; "
        f"peak memory grew by {grown:.0f} MB, the reader and writer of the table included (no peer)"
    )


if __name__ == "__main__":
    main()
