"""Anybody's own table: a CSV with a column `path`, whose other columns docs/architecture.md lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cxr_io._errors import CxrError
from cxr_io.datasets._fields import label
from cxr_io.datasets._record import Layout, Record
from cxr_io.datasets._tables import rows

_TEXTS = {"patient", "study", "view", "sex", "manufacturer", "split", "report", "path"}
_NUMBERS = {"age", "height_cm", "weight_kg", "bmi"}
_METADATA = {"view", "sex", "manufacturer"} | _NUMBERS


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    table = table or (source if source.is_file() else source / "labels.csv")
    roots = (table.parent, source if source.is_dir() else source.parent)
    for line, row in enumerate(rows(table, "path"), 2):
        if (split := row.get("split") or None) not in (None, "train", "val", "test"):
            raise CxrError(
                "usage", f"expected a split of train, val or test in line {line} of {table.name}, got {split!r}"
            )
        numbers = {name: _parse(float, row[name], name, line, table) for name in _NUMBERS if row.get(name)}
        yield Record(
            name=Path(row["path"]).as_posix(),
            path=_place(row["path"], *roots),
            patient=row.get("patient") or None,
            study=row.get("study") or None,
            split=split,
            metadata={name: numbers.get(name, text) for name, text in row.items() if name in _METADATA and text},
            labels={
                name: _parse(label, text, name, line, table)
                for name, text in row.items()
                if name not in _TEXTS | _NUMBERS and not name.startswith("mask.")
            },
            masks={
                name.removeprefix("mask."): _place(text, *roots)
                for name, text in row.items()
                if name.startswith("mask.") and text
            },
            report=_place(row["report"], *roots) if row.get("report") else None,
            dataset="csv",
        )


def _place(text: str, beside: Path, root: Path) -> Path:
    """A path beside the table, else below the source."""
    near = beside / text
    return near if near.exists() else root / text


def _parse(kind: Callable[[str], Any], text: str, column: str, line: int, table: Path) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        what = "1, 0, -1 or nothing" if kind is label else "a number"
        raise CxrError(
            "usage", f"expected {what} in column {column!r}, line {line} of {table.name}, got {text!r}"
        ) from error


LAYOUT = Layout("csv", lambda source: source.suffix.lower() == ".csv" or (source / "labels.csv").is_file(), _records)
