"""BRAX (Reis et al. 2022): one master table, DICOM and PNG of each image. No reports, no official split.

The names of the columns are those of a summary and of a third party's program; their order is not relied upon.
Ages are in groups of five years, of which the record keeps the middle (85 for `85 or more`); dates are fictitious.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cxr_io.datasets._fields import CHEXPERT, age, known, labels, sex, view
from cxr_io.datasets._record import Layout, Record
from cxr_io.datasets._tables import find_table, first_match, rows

_TABLES = ("master_spreadsheet_update.csv*", "master_spreadsheet*.csv*")


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    # DICOM where it was fetched: the PNGs have lost the window and the spacing.
    column = "DicomPath" if (source / "Anonymized_DICOMs").is_dir() else "PngPath"
    for row in rows(find_table(source, table, *_TABLES), column, "PatientID", "AccessionNumber"):
        yield Record(
            name=row[column],
            path=source / row[column],
            patient=row["PatientID"],
            study=row["AccessionNumber"],
            metadata=known(
                view=view(row.get("ViewPosition", "")),
                sex=sex(row.get("PatientSex", "")),
                age=age(row.get("PatientAge", "")),
                manufacturer=row.get("Manufacturer"),
            ),
            labels=labels(row, CHEXPERT),
            dataset="brax",
        )


LAYOUT = Layout("brax", lambda source: first_match(source, *_TABLES) is not None, _records)
