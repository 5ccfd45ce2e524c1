"""Tables as they are published: CSV, plain or gzipped, read a row at a time."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from cxr_io._errors import CxrError

Row = dict[str, str]
_LONGEST_FIELD = 1 << 24  # a run-length code of a large mask; the csv module's own limit is 128 KiB


def rows(table: Path, *needed: str) -> Iterator[Row]:
    """The rows of a CSV or CSV.gz in UTF-8, as {column: text}, names and texts stripped; a short row ends in blanks.

    Raises `CxrError` where the table is absent, is no CSV, or lacks a column that is `needed`.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        with _open(table) as file:
            reader = csv.DictReader(file, restval="")
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            missing = [name for name in needed if name not in reader.fieldnames]
            if missing:
                found = ", ".join(name for name in reader.fieldnames if name) or "none"
                raise CxrError("usage", f"expected a column {missing[0]!r} in {table.name}, got {found}")
            for row in reader:
                yield {name: (text or "").strip() for name, text in row.items() if name}
    except FileNotFoundError as error:
        raise CxrError("missing_source", f"expected a table of labels, found nothing at {table}") from error
    except (UnicodeDecodeError, csv.Error, EOFError, OSError) as error:
        raise CxrError("usage", f"expected {table.name} to be a CSV in UTF-8; {error}") from error


def columns(table: Path) -> list[str]:
    """The names of a table's columns; none where it isn't one."""
    try:
        with _open(table) as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error):
        return []


def first_match(source: Path, *patterns: str) -> Path | None:
    """The first file in a folder, by pattern and then by name; None where there is none."""
    return next((path for pattern in patterns for path in sorted(source.glob(pattern))), None)


def find_table(source: Path, given: Path | None, *patterns: str) -> Path:
    """The table given, else the first that matches; `CxrError` where there is none."""
    found = given or first_match(source, *patterns)
    if found is None:
        raise CxrError("usage", f"expected {' or '.join(patterns)} in {source} for this layout; found none")
    return found


def _open(table: Path):  # type: ignore[no-untyped-def]  # TextIO; gzip's own type is wider
    opener = gzip.open if table.suffix == ".gz" else open
    return opener(table, "rt", newline="", encoding="utf-8-sig")
