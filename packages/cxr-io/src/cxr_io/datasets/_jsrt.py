"""JSRT (Shiraishi et al. 2000): 247 raw images, with and without a nodule, and two tables separated by tabs.

`CLNDAT_EN.txt`: file, subtlety, size of the nodule in mm, age, sex, x, y, then words. `CNNDAT_EN.TXT`: file, age, sex.
Their columns have no names; they, and the raw files' byte order and sense, are from memory and unverified. A row that
doesn't fit leaves its facts unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cxr_io._raw import JSRT_SPACING_MM
from cxr_io.datasets._fields import age, known, number, sex
from cxr_io.datasets._files import walk
from cxr_io.datasets._record import Box, Layout, Record


def _records(source: Path, _table: Path | None) -> Iterator[Record]:
    readings = _readings(source)
    for path in walk(source):
        if _is_image(path):
            stem = path.stem.upper()
            fields = readings.get(stem, [])
            with_nodule = stem.startswith("JPCLN")
            years, person = (fields[3:5] if with_nodule else fields[1:3]) or ("", "")
            yield Record(
                name=path.relative_to(source).as_posix(),
                path=path,
                patient=stem,
                metadata=known(view="PA", sex=sex(person), age=age(years)),
                labels={"Nodule": int(with_nodule)},
                boxes=_nodule(fields) if with_nodule else (),
                dataset="jsrt",
            )


def _readings(source: Path) -> dict[str, list[str]]:
    """Fields by image, of both tables; rows shorter than their kind are left out."""
    found = {}
    for path in sorted(source.glob("*DAT_EN.*")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = [field.strip() for field in line.split("\t")]
            if len(fields) >= (7 if fields[0].upper().startswith("JPCLN") else 3):
                found[fields[0].upper().partition(".")[0]] = fields
    return found


def _nodule(fields: list[str]) -> tuple[Box, ...]:
    size, x, y = (number(fields[i]) if len(fields) > i else None for i in (2, 5, 6))
    if size is None or x is None or y is None:
        return ()
    side = size / JSRT_SPACING_MM
    return (Box("Nodule", x - side / 2, y - side / 2, side, side),)


def _is_image(path: Path) -> bool:
    return path.suffix.upper() == ".IMG" and path.stem.upper().startswith(("JPCLN", "JPCNN"))


LAYOUT = Layout("jsrt", lambda source: any(source.glob("**/JPC[LN]N*.[Ii][Mm][Gg]")), _records)
