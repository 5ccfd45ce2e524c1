"""VinDr-CXR 1.0.0 (Nguyen et al. 2022) and its Kaggle edition, VinBigData.

`annotations/image_labels_{train,test}.csv`, `annotations/annotations_{train,test}.csv` and `{train,test}/*.dicom`; on
Kaggle `train.csv` alone. Three readers saw each training image, and `_consensus` says what they agree upon; the test
set's labels are a consensus already, and its boxes stand as they are. Kaggle's columns are verified, the names of the
others are a third party's; their order is not relied upon.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from cxr_io.datasets._consensus import agreed_boxes, consensus
from cxr_io.datasets._record import TRAIN_OR_VAL, Box, Layout, Record
from cxr_io.datasets._tables import Row, columns, find_table, first_match, rows

_SPLITS = {"train": TRAIN_OR_VAL, "test": "test"}
_NAMES = {"Other disease": "Other diseases"}  # the test set's spelling
_NOTHING = "No finding"
_BY_THE_TABLE = ""  # in place of a reader, where there is none
_KAGGLE = ("image_id", "class_name", "rad_id", "x_min")


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    if table or not (source / "annotations").is_dir():
        yield from _kaggle(source, find_table(source, table, "train.csv*"))
        return
    for split in _SPLITS:
        if found := first_match(source, f"annotations/image_labels_{split}.csv*"):
            boxes = first_match(source, f"annotations/annotations_{split}.csv*")
            yield from _official(source, split, found, _by_image(boxes) if boxes else {})


def _official(source: Path, split: str, table: Path, boxes: dict[str, list[Row]]) -> Iterator[Record]:
    votes: dict[str, list[Row]] = _by_image(table)
    for image, read in votes.items():
        names = [name for name in read[0] if name not in ("image_id", "rad_id")]
        marked = {_NAMES.get(name, name): sum(row[name] in ("1", "1.0") for row in read) for name in names}
        yield _record(source, split, image, marked, len(read), boxes.get(image, []))


def _kaggle(source: Path, table: Path) -> Iterator[Record]:
    images = _by_image(table)
    names = sorted({row["class_name"] for found in images.values() for row in found})
    for image, found in images.items():
        marks = {(row["class_name"], row["rad_id"]) for row in found}
        marked = {name: sum(name == mark for mark, _ in marks) for name in names}
        yield _record(source, "train", image, marked, len({reader for _, reader in marks}), found)


def _record(source: Path, split: str, image: str, marked: dict[str, int], readers: int, boxes: list[Row]) -> Record:
    drawn: dict[str, list[Box]] = defaultdict(list)
    for row in boxes:
        if row["class_name"] != _NOTHING and row["x_min"]:
            x, y, right, bottom = (float(row[column]) for column in ("x_min", "y_min", "x_max", "y_max"))
            name = _NAMES.get(row["class_name"], row["class_name"])
            drawn[row.get("rad_id", _BY_THE_TABLE)].append(Box(name, x, y, right - x, bottom - y))
    return Record(
        name=f"{split}/{image}.dicom",
        path=source / split / f"{image}.dicom",
        split=_SPLITS[split],
        labels={name: consensus(count, readers) for name, count in marked.items()},
        boxes=agreed_boxes(drawn, readers),
        dataset="vindr-cxr",
    )


def _by_image(table: Path) -> dict[str, list[Row]]:
    """Rows by image, in the order of the table; an image's rows lie apart in some."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows(table, "image_id"):
        found[row["image_id"]].append(row)
    return found


def _recognise(source: Path) -> bool:
    train = first_match(source, "train.csv*")
    return first_match(source, "annotations/image_labels_*.csv*") is not None or (
        train is not None and set(_KAGGLE) <= set(columns(train))
    )


LAYOUT = Layout("vindr-cxr", _recognise, _records)
