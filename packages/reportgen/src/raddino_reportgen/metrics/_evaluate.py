"""All metrics of pairs of reports in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from raddino_reportgen._errors import ReportError
from raddino_reportgen.labels import label_reports
from raddino_reportgen.metrics._clinical import Uncertain, clinical, each_finding, unseen
from raddino_reportgen.metrics._overlap import overlap
from raddino_reportgen.metrics._resample import Rows, Score, Statistic, ratio, score

Labeller = Callable[[Sequence[str]], Rows]
Convention = Literal["plain", "coco"]
METRICS = (
    "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "f1_14_micro", "f1_14_macro", "f1_5_micro", "f1_5_macro",
    "hallucination", "omission", "unseen",
)  # fmt: skip


def bleu(candidates: Sequence[str], references: Sequence[str], order: int = 4) -> float:
    """Corpus BLEU of 1 to `order` words, 0 to 1, one reference each."""
    check_pairs(candidates, references)
    if order not in (1, 2, 3, 4):
        raise ReportError(f"expected BLEU of 1 to 4 words, got {order}")
    return _whole(overlap(candidates, references)[f"bleu{order}"])


def rouge_l(candidates: Sequence[str], references: Sequence[str]) -> float:
    """Mean F1 of the longest common subsequence (Lin 2004), 0 to 1."""
    check_pairs(candidates, references)
    return _whole(overlap(candidates, references)["rouge_l"])


def evaluate(
    candidates: Sequence[str],
    references: Sequence[str],
    patients: Sequence[str] | None = None,
    *,
    labeller: Labeller = label_reports,
    uncertain: Uncertain = "present",
    convention: Convention = "plain",
    per_pair: Mapping[str, Rows] | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> dict[str, Score]:
    """`METRICS` with 95 % percentile intervals; `patients` groups the pairs (default: each its own).

    All are from 0 to 1. `convention="coco"` counts as pycocoevalcap does and adds `cider` and `meteor`. `labeller`
    gives labels (N, 14) of texts, such as CheXbert's. `per_pair` are further values (N,) by name whose mean is wanted,
    such as RadGraph F1's.
    """
    table = _statistics(candidates, references, labeller, uncertain, convention, per_pair)
    return score(table, patients, replicates=replicates, seed=seed)


def compare(
    a: Sequence[str],
    b: Sequence[str],
    references: Sequence[str],
    patients: Sequence[str] | None = None,
    *,
    labeller: Labeller = label_reports,
    uncertain: Uncertain = "present",
    convention: Convention = "plain",
    replicates: int = 500,
    seed: int = 0,
) -> dict[str, Score]:
    """The differences a - b of the same metrics, paired: both are of the same patients in each replicate."""
    first, second = (_statistics(texts, references, labeller, uncertain, convention, None) for texts in (a, b))
    return score(first, patients, replicates=replicates, seed=seed, minus=second)


def findings(
    candidates: Sequence[str],
    references: Sequence[str],
    patients: Sequence[str] | None = None,
    *,
    labeller: Labeller = label_reports,
    uncertain: Uncertain = "present",
    replicates: int = 500,
    seed: int = 0,
) -> dict[str, dict[str, Score]]:
    """By finding: `f1`, `hallucination` (said, not in the reference) and `omission` (in the reference, not said)."""
    check_pairs(candidates, references)
    table = each_finding(labeller(candidates), labeller(references), uncertain)
    return {name: score(part, patients, replicates=replicates, seed=seed) for name, part in table.items()}


def check_pairs(candidates: Sequence[str], references: Sequence[str]) -> None:
    """Raise a `ReportError` unless there is a reference with words for each candidate."""
    if len(candidates) != len(references):
        raise ReportError(f"expected a reference for each candidate, got {len(candidates)} and {len(references)}")
    if not candidates:
        raise ReportError("expected at least one report, got none")
    empty = [i for i, text in enumerate(references) if not text.strip()]
    if empty:
        raise ReportError(
            f"expected references with words; {len(empty)} are empty, the first at {empty[0]}: leave them out"
        )


def _statistics(
    candidates: Sequence[str],
    references: Sequence[str],
    labeller: Labeller,
    uncertain: Uncertain,
    convention: Convention,
    per_pair: Mapping[str, Rows] | None,
) -> dict[str, Statistic]:
    check_pairs(candidates, references)
    if convention not in ("plain", "coco"):
        raise ReportError(f"expected the convention plain or coco, got {convention!r}")
    if convention == "coco":
        from raddino_reportgen.metrics._coco import coco

        words = coco(candidates, references)
    else:
        words = overlap(candidates, references)
    found = {**words, **clinical(labeller(candidates), labeller(references), uncertain), **unseen(candidates)}
    for name, values in (per_pair or {}).items():
        if values.shape != (len(candidates),):
            raise ReportError(f"expected {len(candidates)} values of {name}, got shape {values.shape}")
        found[name] = ratio(np.asarray(values, dtype=float))
    return found


def _whole(statistic: Statistic) -> float:
    return float(statistic.combine(statistic.rows.sum(axis=0, keepdims=True))[0])
