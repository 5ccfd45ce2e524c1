"""What an archive holds, told from headers, before two days go into ingesting it; never what a header says of a person.

Words out of headers are repeated only where they are one of a closed list of the standard's.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID_dictionary

from cxr_io._convert import Settings, Taken
from cxr_io._dataset import OpenDataset, untrusted
from cxr_io._dicom import MODALITIES, OTHER_MODALITIES
from cxr_io._errors import CxrError
from cxr_io._limits import LIMITS
from cxr_io._pool import Pool
from cxr_io._raster import raster_size
from cxr_io._read import kind_of
from cxr_io._syntax import is_decodable, syntax_name
from cxr_io.datasets import Layout, Record, list_items

# Attributes that name, or help to find, a person (a selection of PS3.15 table E.1-1).
IDENTIFYING = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientBirthTime", "PatientAddress", "PatientTelephoneNumbers",
    "PatientMotherBirthName", "PatientComments", "OtherPatientIDs", "OtherPatientNames", "OtherPatientIDsSequence",
    "EthnicGroup", "Occupation", "MilitaryRank", "MedicalRecordLocator", "AdditionalPatientHistory", "AccessionNumber",
    "StudyID", "StudyInstanceUID", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "StudyTime",
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "ReferringPhysicianName",
    "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "RequestingPhysician", "OperatorsName", "StationName",
    "DeviceSerialNumber", "ImageComments", "RequestAttributesSequence",
)  # fmt: skip
_PHOTOMETRIC = {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
_VIEWS = {"PA", "AP", "LL", "RL", "LLD", "RLD", "RLO", "LLO", "LAT", "LATERAL"}
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
_BLOCK, _BLOCKS = 4096, 16
_TIMED = 12


@dataclass(frozen=True)
class _Seen:
    """One file's facts; `content` is a digest of some of its pixel bytes."""

    kind: str
    facts: dict[str, str]
    identifying: tuple[str, ...] = ()
    instance: str | None = None
    content: bytes = b""


def survey(
    source: str | Path,
    *,
    labels: str | Path | None = None,
    dataset: str | Layout = "auto",
    sample: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """What an ingest of `source` would meet: counts of files, and an estimate for `workers` processes.

    `sample` files drawn by `seed` are looked at, or all. Keys: files, examined, kinds, transfer_syntaxes (files and
    whether a decoder is installed), photometric, bits, sizes, views, modalities, burned_in (files that say so, that
    are secondary captures, or that don't say), duplicates (files whose instance UID, or whose pixel bytes, another has
    too), identifying (attributes that name a person, in how many files), and estimate (images, seconds, bytes and
    rejected, from `timed` real conversions; None where nothing could be converted).
    """
    if sample is not None and sample < 1:
        raise CxrError("usage", f"expected a sample of 1 file or more, got {sample}")
    items = list_items(Path(source), dataset, Path(labels) if labels else None)[1]
    chosen, total = _draw(items, sample, seed)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    instances: Counter[str] = Counter()
    contents: dict[bytes, list[Path]] = defaultdict(list)
    for number, item in enumerate(chosen, 1):
        seen = look(item.path)
        counts["kinds"][seen.kind] += 1
        for name, value in seen.facts.items():
            counts[name][value] += 1
        counts["identifying"].update(seen.identifying)
        if seen.instance:
            instances[seen.instance] += 1
        if seen.content:
            contents[seen.content].append(item.path)
        if progress:
            progress(number, len(chosen))
    names = ("photometric", "bits", "sizes", "views", "modalities", "burned_in", "identifying")
    return {
        "files": total,
        "examined": len(chosen),
        "kinds": dict(counts["kinds"].most_common()),
        "transfer_syntaxes": {
            syntax_name(uid): {"files": count, "decodable": is_decodable(uid)}
            for uid, count in counts["syntax"].most_common()
        },
        **{name: dict(counts[name].most_common()) for name in names},
        "duplicates": {
            "instance": sum(count for count in instances.values() if count > 1),
            "pixels": sum(_alike(paths) for paths in contents.values() if len(paths) > 1),
        },
        "estimate": _estimate(chosen, total, workers or os.cpu_count() or 1),
    }


def look(path: Path) -> _Seen:
    """What a file's first bytes and header tell."""
    try:
        kind = kind_of(path)
        if kind != "dicom":
            sizes = {"sizes": "{1} x {0}".format(*raster_size(path, LIMITS))} if kind == "raster" else {}
            with path.open("rb") as file:
                return _Seen(kind, sizes, content=_digest(file, 0))
        with untrusted(), OpenDataset(path, LIMITS) as opened:
            ds = opened.header
            instance = str(ds.get("SOPInstanceUID") or "") or None
            return _Seen(kind, _facts(ds), tuple(_identifying(ds)), instance, _digest(opened.file, opened.file.tell()))
    except CxrError as error:
        return _Seen(error.code, {})


def _facts(ds: Dataset) -> dict[str, str]:
    kind = str(ds.get("SOPClassUID") or "")
    said = str(ds.get("BurnedInAnnotation") or "")
    burned = {"YES": "yes", "NO": "no"}.get(said, "secondary capture" if kind.startswith(_SECONDARY) else "not said")
    syntax = str(ds.file_meta.TransferSyntaxUID)
    return {
        "syntax": syntax if syntax in UID_dictionary else "",
        "photometric": _word(ds, "PhotometricInterpretation", _PHOTOMETRIC),
        "bits": f"{_whole(ds, 'BitsStored')} of {_whole(ds, 'BitsAllocated')}",
        "sizes": f"{_whole(ds, 'Columns')} x {_whole(ds, 'Rows')}",
        "views": _word(ds, "ViewPosition", _VIEWS),
        "modalities": _word(ds, "Modality", MODALITIES | OTHER_MODALITIES),
        "burned_in": burned,
    }


def _word(ds: Dataset, name: str, known: Iterable[str]) -> str:
    word = str(ds.get(name) or "")
    return word if word and word in known else "other" if word else "absent"


def _whole(ds: Dataset, name: str) -> str:
    value = ds.get(name)
    return str(value) if isinstance(value, int) else "?"


def _identifying(ds: Dataset) -> list[str]:
    found = [name for name in IDENTIFYING if ds.get(name)]
    return found + (["private attributes"] if any(tag.is_private for tag in ds.keys()) else [])  # noqa: SIM118


def _draw(items: Iterable[Record], sample: int | None, seed: int) -> tuple[list[Record], int]:
    """Some items of a listing in its order, every one as likely (reservoir sampling), and how many there are."""
    listed = enumerate(items)
    kept = list(islice(listed, sample))
    total, rng = len(kept), random.Random(seed)
    for total, item in ((number + 1, (number, item)) for number, item in listed):
        place = rng.randrange(total)
        if place < len(kept):
            kept[place] = item
    return [item for _, item in sorted(kept, key=lambda entry: entry[0])], total


def _digest(file: Any, start: int) -> bytes:
    """Of blocks spread over what follows `start`, and its length; empty where hardly anything does."""
    size = file.seek(0, os.SEEK_END) - start
    if size < _BLOCK:
        return b""
    digest = sha256(str(size).encode())
    for number in range(_BLOCKS):
        file.seek(start + number * (size - _BLOCK) // (_BLOCKS - 1))
        digest.update(file.read(_BLOCK))
    return digest.digest()[:12]


def _alike(paths: list[Path]) -> int:
    """How many of some files that look alike are alike to the last pixel byte."""
    whole: Counter[bytes] = Counter()
    for path in paths:
        if kind_of(path) == "dicom":
            with OpenDataset(path, LIMITS) as opened:
                pixels = opened.file.read()
        else:
            pixels = path.read_bytes()
        whole[sha256(pixels).digest()] += 1
    return sum(count for count in whole.values() if count > 1)


def _estimate(chosen: list[Record], total: int, workers: int) -> dict[str, Any] | None:
    """Time and room of the whole, from conversions of files spread over those that were looked at."""
    settings = Settings(518, 16, "minmax", "png", b"for an estimate alone")
    tried = chosen[:: max(1, len(chosen) // _TIMED)][:_TIMED]
    with Pool(1, settings) as pool:  # a process that may crash
        pool.submit(tried[0]).result()  # warms up
        since = time.perf_counter()
        outcomes = [pool.submit(item).result() for item in tried]
        spent = time.perf_counter() - since
    taken = [outcome.sample.files for outcome in outcomes if isinstance(outcome, Taken)]
    if not taken:
        return None
    share = total / len(tried)
    return {
        "timed": len(tried),
        "workers": workers,
        "seconds": round(spent * share / workers, 3),
        "images": round(len(taken) * share),
        "rejected": total - round(len(taken) * share),
        "bytes": round(sum(len(data) for files in taken for _, data in files) * share),
    }
