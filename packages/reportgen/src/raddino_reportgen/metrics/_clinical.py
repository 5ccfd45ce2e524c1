"""Whether the same findings are said: F1 over labels, what is made up and what is left out.

Labels are (N, 14) in the order of `FINDINGS`: 1 present, 0 absent, -1 uncertain, NaN not mentioned, from the rules of
this package, from CheXbert or from anybody. Conventions are those of the CheXbert papers and of scikit-learn: macro F1
counts a finding that nobody mentions as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError
from raddino_reportgen.labels import FINDINGS, FIVE
from raddino_reportgen.metrics._resample import Rows, Statistic, divide, ratio
from raddino_reportgen.text._unseen import UNSEEN, mentions_of_unseen

Uncertain = Literal["present", "absent", "left out"]


def clinical(said: Rows, truth: Rows, uncertain: Uncertain = "present") -> dict[str, Statistic]:
    """`f1_14_micro`, `f1_14_macro`, `f1_5_micro`, `f1_5_macro`, `hallucination` and `omission`.

    `hallucination` is the share of findings said that the reference does not have, `omission` the share of the
    reference's that are not said, both over the 13 findings without "No Finding".
    """
    counts = confusion(said, truth, uncertain)
    five = [FINDINGS.index(name) for name in FIVE]
    hits, extra, missed = (counts[:, :-1, k].sum(axis=1) for k in range(3))
    return {
        "f1_14_micro": _f1(counts, micro=True),
        "f1_14_macro": _f1(counts, micro=False),
        "f1_5_micro": _f1(counts[:, five], micro=True),
        "f1_5_macro": _f1(counts[:, five], micro=False),
        "hallucination": ratio(extra, hits + extra),
        "omission": ratio(missed, hits + missed),
    }


def each_finding(said: Rows, truth: Rows, uncertain: Uncertain = "present") -> dict[str, dict[str, Statistic]]:
    """`f1`, `hallucination` and `omission` of each finding."""
    counts = confusion(said, truth, uncertain)
    found = {}
    for column, name in enumerate(FINDINGS):
        hits, extra, missed = counts[:, column].T
        found[name] = {
            "f1": ratio(2 * hits, 2 * hits + extra + missed),
            "hallucination": ratio(extra, hits + extra),
            "omission": ratio(missed, hits + missed),
        }
    return found


def confusion(said: Rows, truth: Rows, uncertain: Uncertain) -> NDArray[np.float64]:
    """True positives, false positives and false negatives of each pair and finding: (N, 14, 3) of 0 and 1."""
    if said.shape != truth.shape or said.shape[1:] != (len(FINDINGS),):
        raise ReportError(f"expected labels (N, {len(FINDINGS)}) of both, got {said.shape} and {truth.shape}")
    if uncertain not in get_args(Uncertain):
        raise ReportError(f"expected uncertain as {', '.join(get_args(Uncertain))}; got {uncertain!r}")
    doubt = uncertain == "present"
    a, b = ((labels == 1) | (doubt & (labels == -1)) for labels in (said, truth))
    kept = ~((said == -1) | (truth == -1)) if uncertain == "left out" else np.ones(said.shape, bool)
    return np.stack([kept & a & b, kept & a & ~b, kept & ~a & b], axis=2).astype(float)


def unseen(candidates: Sequence[str]) -> dict[str, Statistic]:
    """`unseen`: the share of reports that speak of what one image can't show, and `unseen_<kind>` of each kind."""
    kinds = [mentions_of_unseen(text) for text in candidates]
    found = {"unseen": ratio(np.array([float(bool(kind)) for kind in kinds]))}
    return found | {f"unseen_{name}": ratio(np.array([float(name in kind) for kind in kinds])) for name in UNSEEN}


def _f1(counts: NDArray[np.float64], *, micro: bool) -> Statistic:
    n, findings, _ = counts.shape

    def combine(sums: Rows) -> Rows:
        table = sums.reshape(len(sums), findings, 3)
        if micro:
            table = table.sum(axis=1, keepdims=True)
        hits, extra, missed = np.moveaxis(table, 2, 0)
        return np.asarray(np.nan_to_num(divide(2 * hits, 2 * hits + extra + missed)).mean(axis=1))

    return Statistic(counts.reshape(n, -1), combine)
