"""Who may be on which side: splits, and what would leak across them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cxr_io._identity import pseudonym, split_of
from cxr_io.datasets._record import TRAIN_OR_VAL, Record

OVERLAPS = {
    frozenset({"nih", "rsna"}): "the images of RSNA's challenge were chosen from ChestX-ray14",
    frozenset({"nih", "siim-acr"}): "the images of SIIM-ACR were chosen from ChestX-ray14",
    frozenset({"rsna", "siim-acr"}): "both were chosen from ChestX-ray14 and may share images",
    frozenset({"mimic-cxr", "mimic-cxr-jpg"}): "both are the same images, as DICOM and as JPEG",
}
"""Pairs of data sets that share images, and why."""


@dataclass(frozen=True)
class Leak:
    """Something that is on both sides: `kind` is `patient` or `overlap`."""

    kind: str
    what: str
    reason: str


def split_for(key: bytes, official: str | None, patient: str) -> str:
    """`train`, `val` or `test`: as published, else by keyed hash of the patient (70, 10, 20 %).

    Of images that are anything but test, an eighth of the patients are for validation.
    """
    if official == TRAIN_OR_VAL:
        return "train" if int(pseudonym(key, "split", patient), 16) / 16**16 < 0.875 else "val"
    return official or split_of(key, patient)


def check_splits(records: Iterable[Record]) -> list[Leak]:
    """What leaks across the splits of some records, of one data set or several; empty when all is well.

    A patient in two splits (`train` and `train_val` are one side), and data sets among the records that share images.
    Only patients are kept in memory. Records without a patient or a split can't be checked and are passed over.
    """
    sides: dict[tuple[str, str], str] = {}
    leaking: dict[tuple[str, str], set[str]] = {}
    datasets: set[str] = set()
    for record in records:
        datasets.add(record.dataset)
        if record.patient is not None and record.split is not None:
            who = (record.dataset, record.patient)
            side = "train" if record.split == TRAIN_OR_VAL else record.split
            if (first := sides.setdefault(who, side)) != side:
                leaking.setdefault(who, {first}).add(side)
    leaks = [
        Leak("patient", f"{dataset}: {patient}", f"in {' and '.join(sorted(found))}")
        for (dataset, patient), found in sorted(leaking.items())
    ]
    shared = [(pair, why) for pair, why in OVERLAPS.items() if pair <= datasets]
    return leaks + [Leak("overlap", " and ".join(sorted(pair)), why) for pair, why in shared]
