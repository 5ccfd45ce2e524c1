"""Frozen features with their targets and patients, checked once so that the probes need not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_probes._errors import ProbeError
from raddino_probes._metrics import check_binary


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one split with one target. Lists and any number types are taken; they are kept as arrays.

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
        features = _features(self.features, "features")
        targets, patients = _numbers(self.targets, "targets"), np.asarray(self.patients)
        _check_rows(len(features), targets, patients, (len(features),))
        for name, value in (("features", features), ("targets", targets), ("patients", patients)):
            object.__setattr__(self, name, value)

    def known(self) -> Split:
        """The rows whose target is known; the split itself where all are.

        Raises:
            ProbeError: no target is known.
        """
        keep = ~np.isnan(self.targets)
        return self if keep.all() else Split(self.features[keep], self.targets[keep], self.patients[keep])

    def as_findings(self) -> Findings:
        """The same rows with their one binary target as the finding "target"."""
        return Findings({"features": self.features}, self.targets[:, None], self.patients, ("target",))

    @property
    def dims(self) -> dict[str, int]:
        """Length of the features."""
        return {"features": self.features.shape[1]}

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Findings:
    """Rows of one split with several binary targets and one or more choices of features.

    Raises:
        ProbeError: as `Split`; targets other than 0, 1 and NaN, or not one name for each column.
    """

    features: Mapping[str, NDArray[np.float64]]
    """(N, D) by choice, such as "class", "mean patch", "both", "last 4 layers"; D may differ between choices."""
    targets: NDArray[np.float64]
    """(N, L) of 0, 1, NaN where unknown."""
    patients: NDArray[Any]
    """(N,) identifiers."""
    names: tuple[str, ...]
    """Of the L findings."""

    def __post_init__(self) -> None:
        if not self.features:
            raise ProbeError("features: expected one or more named matrices, got none")
        features = {name: _features(values, f"features {name!r}") for name, values in self.features.items()}
        targets, patients, names = _numbers(self.targets, "targets"), np.asarray(self.patients), tuple(self.names)
        for matrix in features.values():
            _check_rows(len(matrix), targets, patients, (len(matrix), len(names)))
        check_binary(targets)
        for name, value in (("features", features), ("targets", targets), ("patients", patients), ("names", names)):
            object.__setattr__(self, name, value)

    @property
    def dims(self) -> dict[str, int]:
        """Length of each choice of features."""
        return {name: matrix.shape[1] for name, matrix in self.features.items()}

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Rows of one split with several binary targets, and what a probe that is more than a product reads.

    Raises:
        ProbeError: as `Findings`, but for the inputs' values, which are looked at when they are read.
    """

    inputs: Any
    """N rows of one shape, indexed by an array of row numbers: patch tokens (N, D, h, w), of which float16 and
    memory-mapped will do, or images (N, C, H, W)."""
    targets: NDArray[np.float64]
    """(N, L) of 0, 1, NaN where unknown."""
    patients: NDArray[Any]
    """(N,) identifiers."""
    names: tuple[str, ...]
    """Of the L findings."""

    def __post_init__(self) -> None:
        targets, patients, names = _numbers(self.targets, "targets"), np.asarray(self.patients), tuple(self.names)
        _check_rows(len(self.inputs), targets, patients, (len(self.inputs), len(names)))
        check_binary(targets)
        for name, value in (("targets", targets), ("patients", patients), ("names", names)):
            object.__setattr__(self, name, value)

    @property
    def dims(self) -> dict[str, tuple[int, ...]]:
        """Shape of an input."""
        return {"inputs": tuple(self.inputs.shape[1:])}

    def __len__(self) -> int:
        return len(self.targets)


Rows = Split | Findings | Inputs


def check_no_leakage(train: Rows, val: Rows, test: Rows) -> None:
    """Refuse splits that share a patient; the scores would be of memory.

    Raises:
        ProbeError: a patient is in two splits, or the splits' feature lengths or findings differ.
    """
    splits = {"train": train, "val": val, "test": test}
    dims = {name: split.dims for name, split in splits.items()}
    if not dims["train"] == dims["val"] == dims["test"]:
        raise ProbeError(f"expected features of one length in all splits, got {dims}")
    names = {name: getattr(split, "names", ()) for name, split in splits.items()}
    if len(set(names.values())) > 1:
        raise ProbeError(f"expected the same findings in all splits, got {names}")
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        both = sorted({str(p) for p in splits[first].patients} & {str(p) for p in splits[second].patients})
        if both:
            raise ProbeError(
                f"expected each patient in one split, got {len(both)} in both {first} and {second}: "
                f"{', '.join(both[:5])}{', ...' if len(both) > 5 else ''}; split by patient"
            )


def _features(values: ArrayLike, name: str) -> NDArray[np.float64]:
    features = _numbers(values, name)
    if features.ndim != 2 or not features.size:
        raise ProbeError(f"{name}: expected (N, D) with N, D >= 1, got {features.shape}")
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if bad.size:
        raise ProbeError(
            f"{name}: expected finite numbers, got NaN or infinity in {bad.size} rows, first row {bad[0]}; "
            "look at the encoder's output for that image"
        )
    if len(features) > 1 and (features == features[0]).all():
        raise ProbeError(
            f"{name}: expected some variance, got the same vector in all {len(features)} rows; "
            "the encoder has collapsed or was given one image"
        )
    return features


def _check_rows(rows: int, targets: NDArray[np.float64], patients: NDArray[Any], shape: tuple[int, ...]) -> None:
    if targets.shape != shape or patients.shape != (rows,):
        raise ProbeError(
            f"expected targets {shape} and one patient per row of features ({rows}), "
            f"got targets {targets.shape} and patients {patients.shape}"
        )
    if np.isinf(targets).any():
        raise ProbeError("targets: expected numbers, NaN for unknown, got infinity")


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ProbeError(f"{name}: expected numbers, got something else ({error})") from error
