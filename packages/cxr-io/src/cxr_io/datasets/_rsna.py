"""RSNA Pneumonia Detection (Shih et al. 2019), stage 2: boxes of lung opacity on images of ChestX-ray14.

`stage_2_train_labels.csv` has one row a box, `stage_2_detailed_class_info.csv` repeats its rows alike. `patientId`
names an image: who the patient is, is only in ChestX-ray14. Some ages in headers can't be, such as 155. The images of
stage 2's test have no labels and are not listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxr_io.datasets._fields import age, known, sex, view
from cxr_io.datasets._record import Box, Layout, Record
from cxr_io.datasets._tables import Row, find_table, first_match, rows

_TABLE = "stage_2_train_labels.csv*"
_NAME = "Lung Opacity"


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    found: dict[str, list[Row]] = {}
    for row in rows(find_table(source, table, _TABLE), "patientId", "x", "y", "width", "height", "Target"):
        found.setdefault(row["patientId"], []).append(row)
    classes, headers = _classes(source), _headers(source)
    for image, boxes in found.items():
        normal = {"Normal": int(classes[image] == "Normal")} if image in classes else {}
        yield Record(
            name=f"stage_2_train_images/{image}.dcm",
            path=source / "stage_2_train_images" / f"{image}.dcm",
            patient=image,
            metadata=headers.get(image, {}),
            labels={_NAME: int(boxes[0]["Target"]), **normal},
            boxes=tuple(
                Box(_NAME, *(float(box[side]) for side in ("x", "y", "width", "height"))) for box in boxes if box["x"]
            ),
            dataset="rsna",
        )


def _classes(source: Path) -> dict[str, str]:
    """Normal, No Lung Opacity / Not Normal, or Lung Opacity."""
    table = first_match(source, "stage_2_detailed_class_info.csv*")
    return {row["patientId"]: row["class"] for row in rows(table, "patientId", "class")} if table else {}


def _headers(source: Path) -> dict[str, dict[str, Any]]:
    """Facts of the DICOM headers as a table, which some copies carry because their images are PNG."""
    table = first_match(source, "*train_images_dicom_headers.csv*")
    return {
        row["PatientID"]: known(view=view(row["ViewPosition"]), sex=sex(row["PatientSex"]), age=age(row["PatientAge"]))
        for row in (rows(table, "PatientID", "ViewPosition", "PatientSex", "PatientAge") if table else ())
    }


LAYOUT = Layout("rsna", lambda source: first_match(source, _TABLE) is not None, _records)
