"""PadChest (Bustos et al. 2020): one table, images in numbered folders, reports in Spanish, stemmed. No official split.

A patient's identifier has 120 bits and stays text. Every report was annotated in full, so that a finding of the table
that an image lacks is 0; where the labels are missing, all are None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cxr_io.datasets._fields import age, known, number, sex, view
from cxr_io.datasets._record import Layout, Record
from cxr_io.datasets._tables import find_table, first_match, rows

_TABLE = "PADCHEST_chest_x_ray_images_labels*.csv*"
_COLUMNS = (
    "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM", "Projection",
    "Manufacturer_DICOM", "Report", "Labels",
)  # fmt: skip


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    table = find_table(source, table, _TABLE)
    # Two passes: the names of the labels are nowhere but in the rows.
    names = sorted({name for row in rows(table, "Labels") for name in _labels(row["Labels"])})
    for row in rows(table, *_COLUMNS):
        name = f"{row['ImageDir']}/{row['ImageID']}"
        found = _labels(row["Labels"])
        born, taken = number(row["PatientBirth"]), number(row["StudyDate_DICOM"][:4])
        yield Record(
            name=name,
            path=source / name,
            patient=row["PatientID"],
            study=row["StudyID"],
            metadata=known(
                view=view(row["Projection"]),
                sex=sex(row["PatientSex_DICOM"]),
                age=age(str(taken - born)) if born and taken else None,
                manufacturer=row["Manufacturer_DICOM"],
            ),
            labels={label: int(label in found) if row["Labels"].startswith("[") else None for label in names},
            report=None if row["Report"] in ("", "nan") else row["Report"],
            dataset="padchest",
        )


def _labels(text: str) -> set[str]:
    """The names in a Python list of texts, some of which have spaces around; it is never evaluated."""
    return {name for quoted in re.findall(r"'([^']*)'|\"([^\"]*)\"", text) if (name := "".join(quoted).strip())}


LAYOUT = Layout("padchest", lambda source: first_match(source, _TABLE) is not None, _records)
