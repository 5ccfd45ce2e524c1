"""Frozen features with their targets and patients, checked once so that the probes need not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_probes._errors import ProbeError


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one split. Lists and any number types are taken; they are kept as arrays.

    Raises:
        ProbeError: lengths that differ, no rows, features that aren't a matrix, that hold NaN or infinity, or that are
            the same in every row (a collapsed encoder); infinite targets.
    """

    features: NDArray[np.float64]
    """(N, D)."""
    targets: NDArray[np.float64]
    """(N,); NaN where unknown. Binary targets are 0 and 1, continuous ones in their own unit."""
    patients: NDArray[Any]
    """(N,) identifiers, strings or integers: rows of one patient are never independent."""

    def __post_init__(self) -> None:
        features = _numbers(self.features, "features")
        targets = _numbers(self.targets, "targets")
        patients = np.asarray(self.patients)
        if features.ndim != 2 or not features.size:
            raise ProbeError(f"features: expected (N, D) with N, D >= 1, got {features.shape}")
        if not (targets.shape == patients.shape == (len(features),)):
            raise ProbeError(
                f"expected one target and one patient per row of features ({len(features)}), "
                f"got targets {targets.shape} and patients {patients.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(features).all(1))
        if bad.size:
            raise ProbeError(
                f"features: expected finite numbers, got NaN or infinity in {bad.size} rows, first row {bad[0]}; "
                "look at the encoder's output for that image"
            )
        if np.isinf(targets).any():
            raise ProbeError("targets: expected numbers, NaN for unknown, got infinity")
        if len(features) > 1 and (features == features[0]).all():
            raise ProbeError(
                f"features: expected some variance, got the same vector in all {len(features)} rows; "
                "the encoder has collapsed or was given one image"
            )
        for name, value in (("features", features), ("targets", targets), ("patients", patients)):
            object.__setattr__(self, name, value)

    def known(self) -> Split:
        """The rows whose target is known; the split itself where all are.

        Raises:
            ProbeError: no target is known.
        """
        keep = ~np.isnan(self.targets)
        return self if keep.all() else Split(self.features[keep], self.targets[keep], self.patients[keep])

    def __len__(self) -> int:
        return len(self.targets)


def check_no_leakage(train: Split, val: Split, test: Split) -> None:
    """Refuse splits that share a patient; the scores would be of memory.

    Raises:
        ProbeError: a patient is in two splits, or the splits' feature lengths differ.
    """
    splits = {"train": train, "val": val, "test": test}
    dims = {name: split.features.shape[1] for name, split in splits.items()}
    if len(set(dims.values())) > 1:
        raise ProbeError(f"expected features of one length in all splits, got {dims}")
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        both = sorted({str(p) for p in splits[first].patients} & {str(p) for p in splits[second].patients})
        if both:
            raise ProbeError(
                f"expected each patient in one split, got {len(both)} in both {first} and {second}: "
                f"{', '.join(both[:5])}{', ...' if len(both) > 5 else ''}; split by patient"
            )


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ProbeError(f"{name}: expected numbers, got something else ({error})") from error
