"""PadChest: one CSV of all images; reports are in Spanish, cut to their stems, labels in English."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from raddino_reportgen._errors import ReportError
from raddino_reportgen.text._report import Report

_COLUMNS = ("ImageID", "StudyID", "PatientID", "ReportID", "Report", "Labels")
_ITEM = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def read_padchest(source: str | Path) -> Iterator[Report]:
    """The reports of PadChest's CSV, plain or gzipped, in the order of their first image; one for each study.

    `terms` are its labels without stray spaces. Identifiers stay text: PadChest's patients are numbers of 120 bits.
    """
    path = Path(source)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise ReportError(f"expected PadChest's columns in {path}; {', '.join(missing)} missing")
            studies: dict[str, list[dict[str, str]]] = {}
            for row in rows:
                studies.setdefault(row["StudyID"], []).append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReportError(f"expected PadChest's CSV at {path}: {error}") from error
    for study, images in studies.items():
        text = " ".join((images[0]["Report"] or "").split())
        labels = dict.fromkeys(label for row in images for label in _labels(row["Labels"] or ""))
        yield Report(
            name=study,
            sections={"findings": text} if text else {},
            terms=tuple(labels),
            images=tuple(row["ImageID"] for row in images),
            patient=images[0]["PatientID"],
        )


def _labels(literal: str) -> list[str]:
    """The items of a Python list as PadChest writes it, without running it."""
    return [label for a, b in _ITEM.findall(literal) if (label := (a or b).strip())]
