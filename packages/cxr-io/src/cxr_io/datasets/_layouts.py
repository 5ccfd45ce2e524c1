"""The layouts known, and the records of a source in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cxr_io._errors import CxrError
from cxr_io.datasets import (
    _brax,
    _candid_ptx,
    _chexpert,
    _csv,
    _folder,
    _jsrt,
    _mimic_cxr,
    _montgomery,
    _nih,
    _open_i,
    _padchest,
    _rsna,
    _shenzhen,
    _siim_acr,
    _vindr_cxr,
    _vindr_ribcxr,
)
from cxr_io.datasets._record import Layout, Record

# In the order in which `auto` asks them; `folder` is what is left.
_LAYOUTS = {
    layout.name: layout
    for layout in (
        _csv.LAYOUT, _nih.LAYOUT, _mimic_cxr.JPG, _mimic_cxr.DICOM, _chexpert.LAYOUT, _padchest.LAYOUT, _brax.LAYOUT,
        _vindr_cxr.LAYOUT, _vindr_ribcxr.LAYOUT, _rsna.LAYOUT, _siim_acr.LAYOUT, _candid_ptx.candid_ptx(),
        _open_i.LAYOUT, _montgomery.LAYOUT, _shenzhen.LAYOUT, _jsrt.LAYOUT, _folder.LAYOUT,
    )
}  # fmt: skip
DATASETS = ("auto", *_LAYOUTS)


class Records:
    """The records of a source: as often as it is iterated, the same ones in the same order, none kept."""

    def __init__(self, source: Path, layout: Layout, table: Path | None) -> None:
        self._source, self._layout, self._table = source, layout, table

    def __iter__(self) -> Iterator[Record]:
        records = self._layout.records(self._source, self._table)
        try:
            # A folder has no file twice; a table may have a row twice.
            yield from records if self._layout is _folder.LAYOUT else _each_once(records)
        except CxrError:
            raise
        except (ValueError, LookupError) as error:
            raise CxrError(
                "usage", f"expected the tables of {self._layout.name} in {self._source}, got one with {error!r}"
            ) from error


def list_items(source: Path, dataset: str | Layout, labels: Path | None) -> tuple[str, Records]:
    """The layout found and its records; `labels` is a table in place of the layout's own."""
    if isinstance(dataset, str) and dataset not in DATASETS:
        raise CxrError("usage", f"expected a dataset of {', '.join(DATASETS)}; got {dataset!r}")
    if not source.exists():
        raise CxrError("missing_source", f"expected a folder or file of radiographs, found nothing at {source}")
    if dataset == "auto":
        dataset = "csv" if labels else _recognise(source)
    layout = dataset if isinstance(dataset, Layout) else _LAYOUTS[dataset]
    records = Records(source, layout, labels)
    if next(iter(records), None) is None:
        raise CxrError("empty_source", f"expected radiographs in {source}, found no files; check the path")
    return layout.name, records


def _each_once(records: Iterator[Record]) -> Iterator[Record]:
    seen: set[int] = set()  # hashes and not names: a million of them stay small
    for record in records:
        if (place := hash(record.name)) in seen:
            raise CxrError("usage", f"expected each image once, got {record.name} again; remove the second row")
        seen.add(place)
        yield record


def _recognise(source: Path) -> str:
    return next(name for name, layout in _LAYOUTS.items() if layout.recognise(source))
