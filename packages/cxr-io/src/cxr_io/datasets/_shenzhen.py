"""Shenzhen (Jaeger et al. 2014): `CXR_png`, a text file of readings, and where fetched the lung masks in `mask`.

The layout is from memory and unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cxr_io.datasets._fields import age, known, sex
from cxr_io.datasets._record import Layout, Record


def _records(source: Path, _table: Path | None) -> Iterator[Record]:
    for image in sorted((source / "CXR_png").glob("CHNCXR_*.png")):
        reading = source / "ClinicalReadings" / f"{image.stem}.txt"
        text = reading.read_text(encoding="utf-8", errors="replace") if reading.is_file() else ""
        person = re.match(r"\s*(female|male),?\s*(\d+\s*\w+)", text, re.IGNORECASE)  # "male 45yrs", "female, 14days"
        mask = source / "mask" / f"{image.stem}_mask.png"
        yield Record(
            name=f"CXR_png/{image.name}",
            path=image,
            patient=image.stem.split("_")[1],
            metadata=known(sex=sex(person[1]), age=age(person[2])) if person else {},
            labels={"Tuberculosis": int(image.stem.endswith("_1"))},
            masks={"lungs": mask} if mask.is_file() else {},
            report=text or None,
            dataset="shenzhen",
        )


LAYOUT = Layout("shenzhen", lambda source: any((source / "CXR_png").glob("CHNCXR_*.png")), _records)
