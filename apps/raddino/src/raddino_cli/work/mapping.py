"""Which patches speak for a label, sex or view: a linear probe of mean patches, applied to each patch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from raddino_probes import LinearHead, mean_maps, patch_maps, probe_findings

from raddino_cli.work.features import load_features
from raddino_cli.work.targets import NUMBERS, choose_targets, findings_of


@dataclass(frozen=True)
class Maps:
    """Log odds by patch (h, w): the means over test images without and with the target, and of one patient's images."""

    without: NDArray[np.float64]
    having: NDArray[np.float64]
    patient: str
    """The one of those who have it whose images speak most for it."""
    of_patient: NDArray[np.float64]


def map_targets(folder: Path, targets: list[str] | None = None) -> dict[str, Maps]:
    """Maps by target, of those that have two classes and can be told.

    Raises:
        ValueError: features without patch tokens, or nothing of two classes.
    """
    features = load_features(folder)
    if features.patches is None or features.mean is None:
        raise ValueError(f"expected patch tokens in {folder}, to map what they speak for; embed with --patches")
    names = [name for name in choose_targets(features, targets or ()) if name not in NUMBERS]
    if not names:
        raise ValueError("expected a label, sex, view or manufacturer to map, got numbers alone")
    train, val, test = findings_of(features, names, {"mean patch": features.mean.astype(np.float64)})
    found = {}
    for i, (name, head) in enumerate(zip(names, probe_findings(train, val, test, replicates=1).heads, strict=True)):
        if isinstance(head, LinearHead):
            maps = patch_maps(head, features.patches[features.rows("test")])
            words = np.array(["" if np.isnan(value) else str(int(value)) for value in test.targets[:, i]])
            means, having = mean_maps(maps, words), test.targets[:, i] == 1
            by_patient = mean_maps(maps[having], test.patients[having])
            strongest = max(by_patient, key=lambda patient: by_patient[patient].mean())
            found[name] = Maps(means["0"], means["1"], strongest, by_patient[strongest])
    return found
