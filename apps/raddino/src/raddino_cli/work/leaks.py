"""Was an encoder trained on what it is tested on? Its training list against the test split of some shards.

Shards hold keyed hashes in place of names. A list of names is hashed alike, by the key beside the shards or in the
environment; a list of hashes, such as a run's own, is compared as it is.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import cxr_io
from raddino_probes import find_overlap

from raddino_cli.work.features import Features
from raddino_cli.work.images import EVERYTHING, Chosen, Place
from raddino_cli.work.stages import write_text

LIST = "training.csv"
_COLUMNS = {"image": "key", "patient": "patient", "study": "study"}
"""What identifies, and the column of the samples that holds its hash."""
_HEADERS = {
    "image": {"key", "image", "image_id", "image index", "imageid", "dicom_id", "path", "file", "filename"},
    "patient": {"patient", "patient_id", "patient id", "patientid", "subject_id"},
    "study": {"study", "study_id", "studyid", "study_uid"},
}
_KEY = "# pseudonyms of key "
_TEXTURES = "# textures in the places of images: "
_HASH = re.compile("[0-9a-f]{16}")


def write_training_list(shards: Place, run: Path, chosen: Chosen = EVERYTHING, *, needs_report: bool = False) -> None:
    """Keep in a run which images, patients and studies of some shards it is trained on, as hashes."""
    lines, replaced = [], 0
    for row in cxr_io.read_table(shards, ["split", "manufacturer", "report", *_COLUMNS.values()]):
        who = row["patient"], row["manufacturer"]
        if row["split"] != "train" or (needs_report and not row["report"]):
            continue
        if chosen.keeps(*who):
            lines.append(",".join(row[column] for column in _COLUMNS.values()))
        elif chosen.has(*who):
            replaced += 1
    if replaced:
        lines.append(_TEXTURES + str(replaced))
    write_text(run / LIST, "\n".join([_KEY + _fingerprint(_key(shards)), ",".join(_COLUMNS.values()), *lines]) + "\n")


def count_trained(lines: Sequence[str]) -> tuple[int, int]:
    """Images on a run's own list, by its lines, and textures in the places of others."""
    textures = next((line.removeprefix(_TEXTURES) for line in lines if line.startswith(_TEXTURES)), "0")
    return sum(not line.startswith("#") for line in lines) - 1, int(textures)


def training_list(spec: str, given: dict[str, Path]) -> Path | None:
    """The list that was given for an encoder, or that its run has kept."""
    own = Path(spec) / LIST
    return given.get(spec) or (own if own.is_file() else None)


def find_leaks(listed: Path, features: Features, shards: Place) -> list[str]:
    """Sentences: how much of the test split is on the list, by image, patient and study, or why that can't be told."""
    rows, key = features.rows("test"), _key(shards)
    lists, made_by = _read(listed)
    if made_by and made_by != _fingerprint(key):
        return [f"not checked: {listed} holds hashes of another key than {shards}; ingest both with one --key-file"]
    everyone = {identifier for identifiers in lists.values() for identifier in identifiers}
    if key is None and not any(map(_HASH.fullmatch, everyone)):
        return [f"not checked: {listed} holds names, and the key of {shards} is unknown; put it in CXR_IO_KEY"]
    found = []
    for kind, identifiers in lists.items():
        by_hash = {hashed: name for name in identifiers for hashed in _hashes(kind, name, key)}
        test = (str(features.samples[_COLUMNS[kind]][row]) for row in rows)
        found.append(f"by {kind}: {find_overlap(identifiers, [by_hash.get(hashed, hashed) for hashed in test])}")
    return found


def _read(path: Path) -> tuple[dict[str, list[str]], str]:
    """Identifiers by kind, and the fingerprint of the key behind them or ""; a list without a header is of any kind."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"expected a training list in UTF-8 at {path}: {error}") from error
    made_by = next((line.removeprefix(_KEY).strip() for line in lines if line.startswith(_KEY)), "")
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    header = next(csv.reader(lines[:1]), [])
    columns = {kind: [name for name in header if name.lower() in known] for kind, known in _HEADERS.items()}
    if any(columns.values()):
        rows = list(csv.DictReader(lines))
        return {
            kind: [row[name] for row in rows for name in names] for kind, names in columns.items() if names
        }, made_by
    if len(header) > 1:
        raise ValueError(f"{path}: expected a column such as image, patient or study, got {', '.join(header)}; name it")
    return {kind: [line.strip() for line in lines] for kind in _COLUMNS}, made_by


def _hashes(kind: str, name: str, key: str | None) -> Iterable[str]:
    """An identifier as the shards may hold it; images are also known by their file's name alone."""
    yield name
    if key is not None:
        for known in {name, PurePosixPath(name).name} if kind == "image" else {name}:
            yield cxr_io.pseudonym(key.encode(), kind, known)


def _key(shards: Place) -> str | None:
    beside = Path(f"{shards}.key")
    return cxr_io.read_key(beside) if beside.is_file() else os.environ.get("CXR_IO_KEY")


def _fingerprint(key: str | None) -> str:
    return cxr_io.pseudonym(key.encode(), "key", "") if key else ""
