"""Open-i / IU X-ray (Demner-Fushman et al. 2016): a report an XML file, the images beside it as DICOM or PNG.

`ecgen-radiology/*.xml` and images anywhere below, named by their id. The coders indexed each report in full, so that a
heading of the collection that a report lacks is 0; a report without headings (`no indexing`) has no labels. Each report
is of a patient of its own. The layout is from memory and unverified.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from cxr_io._errors import CxrError
from cxr_io.datasets._files import Images
from cxr_io.datasets._record import Layout, Record
from cxr_io.datasets._tables import first_match

_MOST_BYTES = 1 << 20  # the largest report has 20 KB
_NO_LABELS = "no indexing"


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    folder = table or next((place for place in _places(source) if first_match(place, "*.xml")), None)
    if folder is None:
        raise CxrError("usage", f"expected ecgen-radiology/*.xml in {source} for this layout; found none")
    files = sorted(folder.glob("*.xml"), key=lambda path: (len(path.name), path.name))  # 2.xml before 10.xml
    headings = sorted({name for path in files for name in _headings(_parse(path))} - {_NO_LABELS})
    images = Images(source, ".png", ".dcm", ".jpg")
    for path in files:
        report = _parse(path)
        found = _headings(report)
        text = _text(report)
        for image in report.iter("parentImage"):
            name = image.get("id", "")
            yield Record(
                name=name,
                path=_image(images, name),
                patient=path.stem,
                study=path.stem,
                labels={heading: int(heading in found) for heading in headings} if found - {_NO_LABELS} else {},
                report=text or None,
                dataset="open-i",
            )


def _parse(path: Path) -> ET.Element:
    data = path.read_bytes()
    if len(data) > _MOST_BYTES or b"<!" in data.replace(b"<!--", b""):  # entities that unfold without end
        raise CxrError("usage", f"expected an Open-i report at {path.name}, got XML too large or with a DOCTYPE")
    try:
        return ET.fromstring(data)
    except ET.ParseError as error:
        raise CxrError("usage", f"expected XML at {path.name}: {error}") from error


def _headings(report: ET.Element) -> set[str]:
    """The main headings in small letters and single spaces, without what qualifies them after a slash."""
    return {" ".join((major.text or "").partition("/")[0].lower().split()) for major in report.iter("major")} - {""}


def _text(report: ET.Element) -> str:
    parts = ((part.get("Label"), (part.text or "").strip()) for part in report.iter("AbstractText"))
    return "\n".join(f"{heading}: {text}" for heading, text in parts if text)


def _image(images: Images, name: str) -> Path:
    """PNG as the site packs it, else the DICOM whose name lacks CXR."""
    places = [images.path(f"{name}{suffix}", f"NLMCXR_png/{name}{suffix}") for suffix in (".png", ".jpg", ".dcm")]
    places.append(images.path(f"{name.removeprefix('CXR')}.dcm", f"NLMCXR_dcm/{name.removeprefix('CXR')}.dcm"))
    return next((place for place in places if place.is_file()), places[0])


def _places(source: Path) -> tuple[Path, ...]:
    return source / "ecgen-radiology", source / "NLMCXR_reports" / "ecgen-radiology", source


def _recognise(source: Path) -> bool:
    return any(first_match(place, "*.xml") for place in _places(source)[:2])


LAYOUT = Layout("open-i", _recognise, _records)
