"""SIIM-ACR Pneumothorax: `train-rle.csv` (or `stage_2_train.csv`), one row a part of a mask, DICOM in nested folders.

The images are ChestX-ray14's; their headers' patient is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cxr_io.datasets._files import Images
from cxr_io.datasets._masks import RunLength
from cxr_io.datasets._record import Layout, Record
from cxr_io.datasets._tables import find_table, first_match, rows

_TABLES = ("train-rle.csv*", "stage_2_train.csv*", "siim-pneumothorax-train-rle.csv*")
_NONE = "-1"


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    parts: dict[str, list[str]] = {}
    for row in rows(find_table(source, table, *_TABLES), "ImageId", "EncodedPixels"):
        parts.setdefault(row["ImageId"], []).append(row["EncodedPixels"])
    images = Images(source, ".dcm")
    for image, codes in parts.items():
        drawn = tuple(code for code in codes if code != _NONE)
        yield Record(
            name=f"{image}.dcm",
            path=images.path(f"{image}.dcm", f"dicom-images-train/{image}.dcm"),
            labels={"Pneumothorax": int(bool(drawn))},
            masks={"pneumothorax": RunLength(drawn)} if drawn else {},
            dataset="siim-acr",
        )


LAYOUT = Layout("siim-acr", lambda source: first_match(source, *_TABLES) is not None, _records)
