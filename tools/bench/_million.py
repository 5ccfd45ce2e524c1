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

_FEW, _ITEMS = 50_000, 1_000_000
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


def _items(count: int) -> Iterator[Record]:
    for number in range(count):
        yield Record(f"folder/{number:07d}", Path("nowhere"))


def _ingest(out: Path, count: int) -> float:
    start = time.perf_counter()
    journal = Journal(out, {"samples_per_shard": 256}, _KEY)
    journal.compare(_items(count), None)
    shards = _Shards(journal)
    with _NothingDecoded(0, Settings(518, 16, "minmax", "png", _KEY)) as pool:
        for recorded, outcome in _outcomes(_items(count), journal, shards, pool):
            shards.take(recorded, outcome)
    shards.finish()
    summary = _finish(journal, shards, {})
    journal.close()
    if summary.accepted + summary.rejected != count:
        raise RuntimeError(f"expected {count} items, got {summary}")
    return time.perf_counter() - start


def main() -> None:
    """Print what a million items take, and how much more memory than fifty thousand."""
    with tempfile.TemporaryDirectory() as place:
        _ingest(Path(place) / "few", _FEW)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun, again = (_ingest(Path(place) / "out", _ITEMS) for _ in range(2))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    print(
        f"{_ITEMS:,} items: {begun / _ITEMS * 1e6:.0f} us an item, {again / _ITEMS * 1e6:.0f} us when taken up again; "
        f"peak memory is {grown:.0f} MB above that of {_FEW:,} items (no peer)"
    )


if __name__ == "__main__":
    main()
