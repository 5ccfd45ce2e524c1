"""Open-i: the Indiana University chest X-ray collection, one XML file a report (torchxrayvision has them)."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from raddino_reportgen._errors import ReportError
from raddino_reportgen.text._report import Report

_LARGEST = 1 << 20  # bytes; the published files have some 10 KB


def read_openi(source: str | Path) -> Iterator[Report]:
    """The reports of a folder of XML files or of `NLMCXR_reports.tgz`, in the order of their names.

    `name` is the collection's (`CXR12`), `terms` are the MeSH headings that people gave (`Opacity/lung/base/left`) or
    `normal`, `images` the names of the report's films. The collection has one report a patient.
    """
    path = Path(source)
    if not path.exists():
        raise ReportError(f"expected Open-i's reports, found nothing at {path}; check the path")
    yield from sorted((_parse(data, name) for name, data in _files(path)), key=lambda report: _order(report.name))


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.xml")):
            yield str(file), file.read_bytes()[: _LARGEST + 1]
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                data = archive.extractfile(member) if member.isfile() and member.name.endswith(".xml") else None
                if data is not None:
                    yield member.name, data.read(_LARGEST + 1)
    except (tarfile.TarError, EOFError) as error:
        raise ReportError(f"expected a folder or a tar file of XML at {path}: {error}") from error


def _parse(data: bytes, name: str) -> Report:
    try:
        text = data.decode("utf-8")
        # Entities could make a small file large or read another; the collection has none.
        if len(data) > _LARGEST or "<!DOCTYPE" in text:
            raise ReportError(f"expected a report of Open-i in {name}, got a document type or more than a megabyte")
        root = ET.fromstring(text)
    except (UnicodeDecodeError, ET.ParseError) as error:
        raise ReportError(f"expected a report of Open-i in {name}: {error}") from error
    uid = root.find("uId")
    if uid is None or not uid.get("id"):
        raise ReportError(f"expected a report of Open-i in {name}, found no uId")
    parts = {str(part.get("Label")).lower(): (part.text or "").strip() for part in root.iter("AbstractText")}
    return Report(
        name=str(uid.get("id")),
        sections={label: text for label, text in parts.items() if text},
        terms=tuple((term.text or "").strip() for term in root.iter("major")),
        images=tuple(str(image.get("id")) for image in root.iter("parentImage")),
        patient=str(uid.get("id")),
    )


def _order(name: str) -> tuple[int, str]:
    digits = name.removeprefix("CXR")
    return (int(digits) if digits.isdecimal() else 0, name)
