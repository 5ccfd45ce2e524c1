"""What may be probed in a folder of features: labels, sex, view, device and numbers, with the three splits of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from raddino_probes import (
    FEWEST,
    Findings,
    FindingsProbe,
    Inputs,
    Method,
    Split,
    age_bands,
    probe_attentive,
    probe_findings,
)

from raddino_cli.work.features import SPLITS, Features
from raddino_cli.work.stages import plain

NUMBERS = ("age", "weight_kg", "height_cm", "bmi")
CLASSES = {"sex": ("F", "M"), "view": ("AP", "PA")}
"""Metadata of two classes: the one that counts as 1, and the one that counts as 0."""
DEVICE = "manufacturer"
DEFAULT_NUMBERS = ("age", "bmi")
GROUPS = ("sex", "age", "view", DEVICE)
METHODS = (*get_args(Method), "attentive")


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some rows of an array on disk, read as they are asked for."""

    array: NDArray[Any]
    rows: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.array.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | NDArray[np.intp]) -> NDArray[Any]:
        return self.array[self.rows[which]]


def choose_targets(features: Features, wanted: Sequence[str]) -> list[str]:
    """The names wanted as the features spell them, or all labels, sex, age and BMI that can be measured.

    Case, blanks and underscores don't count; "manufacturer" stands for each maker of devices, as "manufacturer=GE".
    """
    if not wanted:
        usual = (*features.labels, "sex", *DEFAULT_NUMBERS)
        return [name for name in usual if _measurable(features, name)]
    makers = [f"{DEVICE}={maker}" for maker in sorted({maker for maker in features.samples[DEVICE] if maker})]
    known = [*features.labels, *CLASSES, *makers, *NUMBERS]
    spelt = {plain(name): [name] for name in reversed(known)} | ({DEVICE: makers} if makers else {})
    for name in wanted:
        if plain(name) not in spelt:
            raise ValueError(f"expected a target of {', '.join(known)}; got {name!r}")
    return list(dict.fromkeys(target for name in wanted for target in spelt[plain(name)]))


def target_values(features: Features, name: str) -> NDArray[np.float64]:
    """A target as numbers, NaN where unknown or uncertain; sex is 1 for women, view for AP."""
    if name in CLASSES or name.startswith(f"{DEVICE}="):
        column, _, maker = name.partition("=")
        one, zero = CLASSES.get(name, (maker, None))
        known = features.samples[column]
        return np.array([1.0 if v == one else 0.0 if v and zero in (None, v) else np.nan for v in known])
    values = features.column(name if name in NUMBERS else f"label.{name}").astype(float)
    return values if name in NUMBERS else np.where(values < 0, np.nan, values)


def splits_of(features: Features, name: str, choice: str) -> list[Split]:
    """Train, val and test of one target and one choice of features."""
    values, patients = target_values(features, name), features.column("patient")
    return [Split(features.choices[choice][i], values[i], patients[i]) for i in map(features.rows, SPLITS)]


def findings_of(
    features: Features, names: Sequence[str], choices: Mapping[str, NDArray[np.float64]] | None = None
) -> list[Findings]:
    """Train, val and test of several binary targets and all choices of features, or those given."""
    values = np.stack([target_values(features, name) for name in names], axis=1)
    patients = features.column("patient")
    return [
        Findings(
            {name: x[i] for name, x in (choices or features.choices).items()}, values[i], patients[i], tuple(names)
        )
        for i in map(features.rows, SPLITS)
    ]


def probe_by(features: Features, names: Sequence[str], method: str, **options: Any) -> FindingsProbe:
    """One of `METHODS` on several binary targets; "attentive" reads patch tokens, the others the choices of features.

    Raises:
        ValueError: patch tokens are needed and not there.
    """
    if method != "attentive":
        train, val, test = findings_of(features, names)
        return probe_findings(train, val, test, method=method, **options)  # type: ignore[arg-type]
    if features.patches is None:
        raise ValueError("expected features with patch tokens for an attentive probe; embed with --patches")
    parts = [
        Inputs(_Rows(features.patches, rows), split.targets, split.patients, split.names)
        for rows, split in zip(map(features.rows, SPLITS), findings_of(features, names), strict=True)
    ]
    return probe_attentive(parts[0], parts[1], parts[2], **options)


def groups_of(features: Features, by: Sequence[str]) -> dict[str, list[Any]]:
    """Labels of the test rows by attribute."""
    rows = features.rows("test")
    found = {name: [features.samples[name][i] for i in rows] for name in by}
    if "age" in found:
        found["age"] = age_bands(found["age"])
    return found


def check_groups(by: Sequence[str]) -> None:
    """Refuse groups that there are none of."""
    for name in by:
        if name not in GROUPS:
            raise ValueError(f"expected groups by {', '.join(GROUPS)}; got {name!r}")


def _measurable(features: Features, name: str) -> bool:
    values = target_values(features, name)[features.rows("test")]
    known = values[~np.isnan(values)]
    if name in NUMBERS:
        return len(known) >= FEWEST
    return bool(min((known == 1).sum(), (known == 0).sum()) >= FEWEST)
