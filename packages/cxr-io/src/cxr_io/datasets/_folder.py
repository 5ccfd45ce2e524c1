"""Files without a table: what is known is in their headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cxr_io.datasets._files import walk
from cxr_io.datasets._record import Layout, Record


def _records(source: Path, _table: Path | None) -> Iterator[Record]:
    if source.is_file():
        yield Record(source.name, source)
    else:
        for path in walk(source):
            yield Record(path.relative_to(source).as_posix(), path)


LAYOUT = Layout("folder", lambda _: True, _records)
