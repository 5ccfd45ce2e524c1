"""MIMIC-CXR (DICOM) and MIMIC-CXR-JPG (Johnson et al. 2019), from PhysioNet's folders.

Beside the tables of the release, three are used where they lie in the source's folder: the CheXpert labels and the
split of MIMIC-CXR-JPG, and MIMIC-IV's `patients.csv` (or `hosp/patients.csv`) for sex and age. A patient's age is that
of an anchor year, counted on to the year of the study; dates are shifted, but alike in both. Reports are taken from
`files/` or `mimic-cxr-reports/files/`; `sections` cuts them.

The columns of the metadata are those of the publisher's own code, the labels' those of a third party's documentation.
Those of the record list, the split and `patients.csv` are from memory: a table without one of them is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_io.datasets._fields import CHEXPERT, age, known, label, number, sex, view
from cxr_io.datasets._record import Layout, Record
from cxr_io.datasets._tables import Row, find_table, first_match, rows

_METADATA = "mimic-cxr-2*-metadata.csv*"
_LIST = "cxr-record-list.csv*"
_SPLITS = {"train": "train", "validate": "val", "test": "test"}


def _jpg(source: Path, table: Path | None) -> Iterator[Record]:
    beside = _Beside(source)
    for row in rows(find_table(source, table, _METADATA), "dicom_id", "subject_id", "study_id", "ViewPosition"):
        name = f"{_study_folder(row)}/{row['dicom_id']}.jpg"
        metadata = known(view=view(row["ViewPosition"]), **beside.person(row, row.get("StudyDate", "")))
        yield beside.record(row, name, metadata, "mimic-cxr-jpg")


def _dicom(source: Path, table: Path | None) -> Iterator[Record]:
    beside = _Beside(source)
    metadata = first_match(source, _METADATA)  # of MIMIC-CXR-JPG: here only for the dates
    dates = {row["study_id"]: row["StudyDate"] for row in rows(metadata, "study_id", "StudyDate")} if metadata else {}
    for row in rows(find_table(source, table, _LIST), "dicom_id", "subject_id", "study_id", "path"):
        person = beside.person(row, dates.get(row["study_id"], ""))
        yield beside.record(row, row["path"], known(**person), "mimic-cxr")


@dataclass(frozen=True)
class _Person:
    sex: str | None
    age: float | None
    year: float | None


class _Beside:
    """What other tables say of an image, a study or a patient; each is read once, where it is there."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._labels: dict[str, tuple[int | None, ...]] = {}
        self._splits: dict[str, str] = {}
        self._persons: dict[str, _Person] = {}
        if found := first_match(source, "mimic-cxr-2*-chexpert.csv*"):
            alike: dict[tuple[int | None, ...], tuple[int | None, ...]] = {}  # most studies share a pattern
            for row in rows(found, "study_id", *CHEXPERT):
                pattern = tuple(label(row[name]) for name in CHEXPERT)
                self._labels[row["study_id"]] = alike.setdefault(pattern, pattern)
        if found := first_match(source, "mimic-cxr-2*-split.csv*"):
            self._splits = {row["dicom_id"]: _SPLITS[row["split"]] for row in rows(found, "dicom_id", "split")}
        if found := first_match(source, "patients.csv*", "hosp/patients.csv*"):
            for row in rows(found, "subject_id", "gender", "anchor_age", "anchor_year"):
                self._persons[row["subject_id"]] = _Person(
                    sex(row["gender"]), age(row["anchor_age"]), number(row["anchor_year"])
                )

    def person(self, row: Row, date: str) -> dict[str, Any]:
        """Sex, and age in the year of a date YYYYMMDD."""
        person, year = self._persons.get(row["subject_id"]), number(date[:4])
        if person is None:
            return {}
        if person.age is None or person.year is None or year is None:
            return {"sex": person.sex}
        return {"sex": person.sex, "age": person.age + year - person.year}

    def record(self, row: Row, name: str, metadata: dict[str, Any], dataset: str) -> Record:
        """The record of an image, with what is known of its study."""
        values = self._labels.get(row["study_id"])
        report = f"{_study_folder(row)}.txt"
        places = (self._source / report, self._source / "mimic-cxr-reports" / report)
        return Record(
            name=name,
            path=self._source / name,
            patient=row["subject_id"],
            study=row["study_id"],
            split=self._splits.get(row["dicom_id"]),
            metadata=metadata,
            labels=dict(zip(CHEXPERT, values, strict=True)) if values else {},
            report=next((place for place in places if place.is_file()), None),
            dataset=dataset,
        )


def _study_folder(row: Row) -> str:
    patient = row["subject_id"]
    return f"files/p{patient[:2]}/p{patient}/s{row['study_id']}"


def _lists_dicom(source: Path) -> bool:
    return first_match(source, _LIST) is not None


DICOM = Layout("mimic-cxr", _lists_dicom, _dicom)
# Whoever has both tables in one folder has DICOM files and uses the other table's facts.
JPG = Layout(
    "mimic-cxr-jpg", lambda source: first_match(source, _METADATA) is not None and not _lists_dicom(source), _jpg
)
