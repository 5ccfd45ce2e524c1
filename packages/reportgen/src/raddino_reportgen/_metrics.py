"""BLEU-4 by sacrebleu and ROUGE-L by rouge-score, both from 0 to 1, with intervals over resampled patients.

Texts are lower-cased and tokenised by sacrebleu's `13a` for BLEU; ROUGE-L is the mean F1 with rouge-score's own
tokens, without stemming.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

from raddino_reportgen._errors import ReportError

_ORDER = 4


@dataclass(frozen=True)
class Score:
    """A metric over `n` pairs with its 95 % interval over patients; NaN ends for a single patient."""

    value: float
    low: float
    high: float
    n: int


def bleu4(candidates: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4 (Papineni et al. 2002), 0 to 1, one reference each."""
    _check(candidates, references)
    return _bleu_of(_bleu_statistics(candidates, references).sum(axis=0))


def rouge_l(candidates: Sequence[str], references: Sequence[str]) -> float:
    """Mean F1 of the longest common subsequence (Lin 2004), 0 to 1."""
    _check(candidates, references)
    return float(_rouge_each(candidates, references).mean())


def evaluate(
    candidates: Sequence[str],
    references: Sequence[str],
    patients: Sequence[str] | None = None,
    *,
    replicates: int = 500,
    seed: int = 0,
) -> dict[str, Score]:
    """`bleu4` and `rouge_l`, each with a percentile interval; `patients` groups the pairs (default: each its own).

    What is resampled for BLEU are the counts of n-grams and tokens of each pair, so that no text is scored twice.
    """
    _check(candidates, references)
    names = [str(i) for i in range(len(candidates))] if patients is None else list(patients)
    if len(names) != len(candidates):
        raise ReportError(f"expected a patient for each of {len(candidates)} reports, got {len(names)}")
    _, groups = np.unique(names, return_inverse=True)
    count = int(groups.max()) + 1
    statistics = _sum_by(groups, _bleu_statistics(candidates, references), count)
    rouge = _sum_by(groups, np.stack([_rouge_each(candidates, references), np.ones(len(groups))], axis=1), count)
    if count < 2:
        ends = {"bleu4": (float("nan"),) * 2, "rouge_l": (float("nan"),) * 2}
    else:
        draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
        bleus = [_bleu_of(row) for row in draws @ statistics]
        sums = draws @ rouge
        ends = {"bleu4": _ends(np.array(bleus)), "rouge_l": _ends(sums[:, 0] / sums[:, 1])}
    values = {"bleu4": _bleu_of(statistics.sum(axis=0)), "rouge_l": float(rouge[:, 0].sum() / rouge[:, 1].sum())}
    return {name: Score(values[name], *ends[name], len(candidates)) for name in values}


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _sum_by(groups: NDArray[np.intp], rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    total = np.zeros((count, rows.shape[1]))
    np.add.at(total, groups, rows)
    return total


def _bleu_statistics(candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Per pair: candidate length, reference length, matched and possible n-grams for n = 1..4."""
    metric = BLEU(lowercase=True, tokenize="13a", effective_order=True, max_ngram_order=_ORDER)
    rows = []
    for candidate, reference in zip(candidates, references, strict=True):
        score = metric.sentence_score(candidate, [reference])
        rows.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return np.array(rows, dtype=float)


def _bleu_of(statistics: NDArray[np.float64]) -> float:
    counts = [round(value) for value in statistics]
    score = BLEU.compute_bleu(counts[2 : 2 + _ORDER], counts[2 + _ORDER :], counts[0], counts[1], smooth_method="exp")
    return float(score.score / 100)


def _rouge_each(candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    scorer = RougeScorer(["rougeL"])
    pairs = zip(candidates, references, strict=True)
    return np.array([scorer.score(reference, candidate)["rougeL"].fmeasure for candidate, reference in pairs])


def _check(candidates: Sequence[str], references: Sequence[str]) -> None:
    if len(candidates) != len(references):
        raise ReportError(f"expected a reference for each candidate, got {len(candidates)} and {len(references)}")
    if not candidates:
        raise ReportError("expected at least one report, got none")
    empty = [i for i, text in enumerate(references) if not text.strip()]
    if empty:
        raise ReportError(
            f"expected references with words; {len(empty)} are empty, the first at {empty[0]}: leave them out"
        )
