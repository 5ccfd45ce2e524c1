"""What an archive holds: a list of items, from the official layout of a data set, a CSV or the folder itself."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_io._errors import CxrError

DATASETS = ("auto", "folder", "csv", "nih")
_TEXTS = {"patient", "study", "view", "sex", "manufacturer", "split", "report", "path"}
_NUMBERS = {"age", "height_cm", "weight_kg", "bmi"}
_METADATA = {"view", "sex", "manufacturer"} | _NUMBERS
NIH_FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One image to take in, and what the archive's tables say of it. `name` is relative, with forward slashes."""

    name: str
    path: Path
    patient: str | None = None
    study: str | None = None
    split: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, int | None] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    report: Path | None = None


def list_items(source: Path, dataset: str, labels: Path | None) -> tuple[str, list[Item]]:
    """The layout found and its items, sorted by name."""
    if dataset not in DATASETS:
        raise CxrError("usage", f"expected a dataset of {', '.join(DATASETS)}; got {dataset!r}")
    if not source.exists():
        raise CxrError("missing_source", f"expected a folder or file of radiographs, found nothing at {source}")
    if dataset == "auto":
        dataset = "csv" if labels else _recognise(source)
    items = {"folder": _folder, "csv": _csv, "nih": _nih}[dataset](source, labels)
    if not items:
        raise CxrError("empty_source", f"expected radiographs in {source}, found no files; check the path")
    return dataset, sorted(items, key=lambda item: item.name)


def _recognise(source: Path) -> str:
    if source.suffix.lower() == ".csv" or (source / "labels.csv").is_file():
        return "csv"
    return "nih" if source.is_dir() and any(source.glob("Data_Entry_2017*.csv")) else "folder"


def _folder(source: Path, _labels: Path | None) -> list[Item]:
    if source.is_file():
        return [Item(source.name, source)]
    files = (path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [Item(path.relative_to(source).as_posix(), path) for path in files]


def _csv(source: Path, labels: Path | None) -> list[Item]:
    table = labels or (source if source.is_file() else source / "labels.csv")
    root = source if source.is_dir() else source.parent
    rows, columns = _rows(table)
    if "path" not in columns:
        raise CxrError("usage", f"expected a column 'path' in {table.name}, got {', '.join(columns) or 'none'}")
    items = []
    for number, row in enumerate(rows, 2):

        def place(name: str, row: dict[str, str] = row) -> Path:
            near = table.parent / row[name]
            return near if near.exists() else root / row[name]

        named = {key: value for key, value in row.items() if key in _TEXTS and value}
        if (split := named.get("split")) and split not in ("train", "val", "test"):
            raise CxrError(
                "usage", f"expected a split of train, val or test in line {number} of {table.name}, got {split!r}"
            )
        items.append(
            Item(
                name=Path(row["path"]).as_posix(),
                path=place("path"),
                patient=named.get("patient"),
                study=named.get("study"),
                split=split,
                metadata={
                    key: _parse(float, row[key], key, number, table) if key in _NUMBERS else row[key]
                    for key in columns
                    if key in _METADATA and row[key]
                },
                labels={
                    key: _parse(_label, row[key], key, number, table)
                    for key in columns
                    if key not in _TEXTS | _NUMBERS and not key.startswith("mask.")
                },
                masks={key[5:]: place(key) for key in columns if key.startswith("mask.") and row[key]},
                report=place("report") if "report" in named else None,
            )
        )
    return items


def _nih(source: Path, labels: Path | None) -> list[Item]:
    """ChestX-ray14 as published: `Data_Entry_2017*.csv` and `images*/**/*.png`."""
    tables = [labels] if labels else sorted(source.glob("Data_Entry_2017*.csv"))
    if not tables:
        raise CxrError("usage", f"expected Data_Entry_2017*.csv in {source} for the layout nih; found none")
    files = {path.name: path for path in source.rglob("*.png")}
    items = []
    for row in _rows(tables[0])[0]:
        name = row["Image Index"]
        found = set(row["Finding Labels"].split("|"))
        labels_of: dict[str, int | None] = {finding: int(finding in found) for finding in NIH_FINDINGS}
        labels_of["No Finding"] = int("No Finding" in found)
        metadata: dict[str, Any] = {"age": float(row["Patient Age"].rstrip("Y"))}
        if row["View Position"] in ("PA", "AP"):
            metadata["view"] = row["View Position"]
        sex = row.get("Patient Gender") or row.get("Patient Sex")
        if sex in ("M", "F"):
            metadata["sex"] = sex
        study = f"{row['Patient ID']}/{row['Follow-up #']}"
        path = files.get(name, source / "images" / name)
        items.append(Item(name, path, row["Patient ID"], study, None, metadata, labels_of))
    return items


def _rows(table: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
            return rows, [name for name in reader.fieldnames or [] if name]
    except FileNotFoundError as error:
        raise CxrError("missing_source", f"expected a table of labels, found nothing at {table}") from error
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise CxrError("usage", f"expected {table.name} to be a CSV in UTF-8; {error}") from error


def _parse(kind: Callable[[str], Any], text: str, column: str, line: int, table: Path) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        what = "1, 0, -1 or nothing" if kind is _label else "a number"
        raise CxrError(
            "usage", f"expected {what} in column {column!r}, line {line} of {table.name}, got {text!r}"
        ) from error


def _label(text: str) -> int | None:
    if text == "" or text.lower() == "nan":
        return None
    value = float(text)
    if value not in (1.0, 0.0, -1.0):
        raise ValueError(text)
    return int(value)
