"""Trees of data sets that several tests write and list."""

import csv
import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest


@pytest.fixture(scope="session")
def write_table() -> Callable[..., None]:
    """`write_table(path, *rows)` writes a CSV, compressed where its name says so."""

    def write(path: Path, *rows: dict[str, object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "wt", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    return write


@pytest.fixture(scope="session")
def write_picture() -> Callable[[Path], None]:
    """`write_picture(path)` writes a small image."""

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.arange(32 * 32, dtype=np.uint16).reshape(32, 32))

    return write


@pytest.fixture(scope="session")
def records() -> Callable[[Path, str], list[cxr_io.Record]]:
    """`records(source, dataset)` of a source that is recognised, the same each time, and fit to cross processes."""

    def listed(source: Path, expected: str) -> list[cxr_io.Record]:
        name, found = cxr_io.list_items(source, "auto", None)
        assert name == expected
        first = list(found)
        assert first == list(found) == pickle.loads(pickle.dumps(first))
        assert {record.dataset for record in first} == {expected}
        return first

    return listed
