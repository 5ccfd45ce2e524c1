"""NIH ChestX-ray14 (Wang et al. 2017): `Data_Entry_2017*.csv`, `images*/**/*.png`, `BBox_List_2017.csv`, two lists.

The sample of 5,606 images on Kaggle (`sample_labels.csv`) has the same columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from cxr_io.datasets._fields import age, known, sex, view
from cxr_io.datasets._files import Images
from cxr_io.datasets._record import TRAIN_OR_VAL, Box, Layout, Record
from cxr_io.datasets._tables import find_table, first_match, rows

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax", "No Finding",
)  # fmt: skip
_TABLES = ("Data_Entry_2017*.csv*", "sample_labels.csv*")


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    images, boxes, splits = Images(source, ".png"), _boxes(source), _splits(source)
    for row in rows(find_table(source, table, *_TABLES), "Image Index", "Finding Labels", "Patient ID"):
        name, patient = row["Image Index"], row["Patient ID"]
        found = row["Finding Labels"].split("|")
        yield Record(
            name=name,
            path=images.path(name, f"images/{name}"),
            patient=patient,
            study=f"{patient}/{row.get('Follow-up #', '')}",
            split=splits.get(name),
            metadata=known(
                view=view(row.get("View Position", "")),
                sex=sex(row.get("Patient Gender") or row.get("Patient Sex", "")),
                age=age(row.get("Patient Age", "")),
            ),
            labels={finding: int(finding in found) for finding in FINDINGS},
            boxes=tuple(boxes.get(name, ())),
            dataset="nih",
        )


def _boxes(source: Path) -> dict[str, list[Box]]:
    """Boxes by image, in pixels of the published 1024 x 1024; the header has its brackets in four fields."""
    found: dict[str, list[Box]] = defaultdict(list)
    if table := first_match(source, "BBox_List_2017*.csv*"):
        for row in rows(table, "Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"):
            name = row["Finding Label"].replace("Infiltrate", "Infiltration")
            x, y, width, height = (float(row[column]) for column in ("Bbox [x", "y", "w", "h]"))
            found[row["Image Index"]].append(Box(name, x, y, width, height))
    return found


def _splits(source: Path) -> dict[str, str]:
    lists = {"train_val_list.txt": TRAIN_OR_VAL, "test_list.txt": "test"}
    return {
        line: split
        for name, split in lists.items()
        if (source / name).is_file()
        for line in (source / name).read_text(encoding="utf-8").split()
    }


LAYOUT = Layout("nih", lambda source: first_match(source, *_TABLES) is not None, _records)
