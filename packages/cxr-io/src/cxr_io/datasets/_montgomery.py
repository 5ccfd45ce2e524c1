"""Montgomery County (Jaeger et al. 2014): `CXR_png`, masks of each lung in `ManualMask`, a text file of readings.

The layout is from memory and unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cxr_io.datasets._fields import age, known, sex
from cxr_io.datasets._record import Layout, Record

_MASKS = {"left_lung": "leftMask", "right_lung": "rightMask"}


def _records(source: Path, _table: Path | None) -> Iterator[Record]:
    for image in sorted((source / "CXR_png").glob("MCUCXR_*.png")):
        reading = source / "ClinicalReadings" / f"{image.stem}.txt"
        text = reading.read_text(encoding="utf-8", errors="replace") if reading.is_file() else ""
        masks = {name: source / "ManualMask" / folder / image.name for name, folder in _MASKS.items()}
        yield Record(
            name=f"CXR_png/{image.name}",
            path=image,
            patient=image.stem.split("_")[1],
            metadata=known(view="PA", sex=sex(_after("Sex", text)), age=age(_after("Age", text))),
            labels={"Tuberculosis": int(image.stem.endswith("_1"))},
            masks={name: path for name, path in masks.items() if path.is_file()},
            report=text or None,
            dataset="montgomery",
        )


def _after(name: str, text: str) -> str:
    match = re.search(rf"Patient's {name}:\s*(\S+)", text)
    return match[1] if match else ""


LAYOUT = Layout("montgomery", lambda source: any((source / "CXR_png").glob("MCUCXR_*.png")), _records)
