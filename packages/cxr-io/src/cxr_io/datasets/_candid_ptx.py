"""CANDID-PTX (Feng et al. 2021): DICOM named by its UID, a table of reports and pneumothorax masks, two of others.

The names below are those of programs that read it, which disagree; the set itself is closed. So they may be given:
`ingest(source, out, dataset=candid_ptx(mask="mask_rle"))`. Masks are read as SIIM-ACR's runs, which is unverified: a
code that leaves the image is a rejection, but one of another convention within it would be a wrong mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cxr_io.datasets._masks import RunLength
from cxr_io.datasets._record import Layout, Record
from cxr_io.datasets._tables import find_table, first_match, rows

_TABLE = "Pneumothorax_reports.csv*"
_OTHERS = {"chest_tube": "chest_tube.csv*", "acute_rib_fracture": "acute_rib_fracture.csv*"}


def candid_ptx(
    *,
    uid: str = "SOPInstanceUID",
    filename: str = "filename",
    report: str = "Report",
    mask: str = "EncodedPixels",
    other_uid: str = "anon_SOPUID",
    other_mask: str = "mask_rle",
    images: str = "dataset",
) -> Layout:
    """The layout, with the names of its columns and of its folder of images.

    The patient is what stands before the first `_` of a file's name, less a leading `P`.
    """

    def records(source: Path, table: Path | None) -> Iterator[Record]:
        table = find_table(source, table, _TABLE)
        codes = {"pneumothorax": _codes(table, uid, mask)}
        for name, pattern in _OTHERS.items():
            if found := first_match(source, pattern):
                codes[name] = _codes(found, other_uid, other_mask)
        seen: set[str] = set()
        for row in rows(table, uid, filename, report, mask):
            image = row[uid]
            if image not in seen:
                seen.add(image)
                drawn = {name: of[image] for name, of in codes.items() if image in of}
                yield Record(
                    name=f"{images}/{image}.dcm",
                    path=_image(source / images, image),
                    patient=row[filename].split("_")[0].removeprefix("P") or None,
                    labels={name: int(name in drawn) for name in codes},
                    masks={name: RunLength(tuple(parts)) for name, parts in drawn.items()},
                    report=row[report] or None,
                    dataset="candid-ptx",
                )

    return Layout("candid-ptx", lambda source: first_match(source, _TABLE) is not None, records)


def _codes(table: Path, uid: str, mask: str) -> dict[str, list[str]]:
    """Run lengths by image, each once; `-1` and blanks say that there is none."""
    found: dict[str, list[str]] = {}
    for row in rows(table, uid, mask):
        if row[mask] not in ("", "-1") and row[mask] not in found.setdefault(row[uid], []):
            found[row[uid]].append(row[mask])
    return {image: codes for image, codes in found.items() if codes}


def _image(folder: Path, uid: str) -> Path:
    """With the suffix or, as some copies are, without."""
    bare = folder / uid
    return bare if bare.is_file() else folder / f"{uid}.dcm"
