"""Shared words: BLEU-1 to 4 by sacrebleu and ROUGE-L by rouge-score, each to a convention.

`plain`, the default, needs no Java: BLEU on small letters in sacrebleu's `13a` tokens, ROUGE-L as rouge-score's F1
without stemming. `coco` is what image captioning and many report papers print: the tokens of Stanford's PTBTokenizer
without punctuation, ROUGE-L with beta 1.2, CIDEr and METEOR, all as pycocoevalcap has them (extra `coco`, and Java).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from sacrebleu.metrics import BLEU

from raddino_reportgen.metrics._resample import Rows, Statistic, ratio

ORDER = 4


def overlap(candidates: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
    """`bleu1` to `bleu4` and `rouge_l` in the convention `plain`."""
    from rouge_score.rouge_scorer import RougeScorer  # here and not above: it imports nltk, which takes a second

    scorer = RougeScorer(["rougeL"])
    pairs = zip(candidates, references, strict=True)
    rouge = np.array([scorer.score(reference, candidate)["rougeL"].fmeasure for candidate, reference in pairs])
    return {**bleus(candidates, references, "13a"), "rouge_l": ratio(rouge)}


def bleus(candidates: Sequence[str], references: Sequence[str], tokenize: str) -> dict[str, Statistic]:
    """Corpus BLEU (Papineni et al. 2002) of 1 to 4 words, one reference each, small letters, by sacrebleu's tokens."""
    metric = BLEU(lowercase=True, tokenize=tokenize, effective_order=True, max_ngram_order=ORDER)
    rows = []
    for candidate, reference in zip(candidates, references, strict=True):
        found = metric.sentence_score(candidate, [reference])
        rows.append([found.sys_len, found.ref_len, *found.counts, *found.totals])
    table = np.array(rows, dtype=float)
    return {f"bleu{order}": Statistic(table, partial(_combine, order)) for order in range(1, ORDER + 1)}


def _combine(order: int, sums: Rows) -> Rows:
    return np.array([_bleu(order, [round(value) for value in row]) for row in sums])


def _bleu(order: int, counts: list[int]) -> float:
    correct, total = counts[2 : 2 + order], counts[2 + ORDER : 2 + ORDER + order]
    found = BLEU.compute_bleu(correct, total, counts[0], counts[1], smooth_method="exp", max_ngram_order=order)
    return float(found.score / 100)
