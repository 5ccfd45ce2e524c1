"""CheXpert (Irvin et al. 2019): `train.csv`, `valid.csv`, `test.csv`, whose paths begin with the archive's own name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cxr_io._errors import CxrError
from cxr_io.datasets._fields import CHEXPERT, age, known, labels, sex, view
from cxr_io.datasets._record import Layout, Record
from cxr_io.datasets._tables import columns, first_match, rows

_SPLITS = {"train": "train", "valid": "val", "test": "test"}


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    for path in [table] if table else _tables(source):
        for row in rows(path, "Path"):
            yield _record(source, row, path)


def _record(source: Path, row: dict[str, str], table: Path) -> Record:
    parts = row["Path"].split("/")
    at = next((i for i, part in enumerate(parts) if part in _SPLITS), None)
    if at is None or len(parts) < at + 4:
        raise CxrError("usage", f"expected .../train/patient1/study1/x.jpg in {table.name}, got {row['Path']!r}")
    split, patient, study, _ = parts[at : at + 4]
    name = "/".join(parts[at:])
    lateral = row.get("Frontal/Lateral") == "Lateral"  # where AP/PA is blank
    return Record(
        name=name,
        path=source / name,
        patient=patient,
        study=f"{patient}/{study}",
        split=_SPLITS[split],
        metadata=known(
            view="LATERAL" if lateral else view(row.get("AP/PA", "")),
            sex=sex(row.get("Sex", "")),
            age=age(row.get("Age", "")),
        ),
        labels=labels(row, CHEXPERT),
        dataset="chexpert",
    )


def _tables(source: Path) -> list[Path]:
    found = (first_match(source, f"{name}.csv*") for name in _SPLITS)
    return [path for path in found if path and "Path" in columns(path)]


LAYOUT = Layout("chexpert", lambda source: bool(_tables(source)), _records)
