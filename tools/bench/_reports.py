"""Scoring reports with resampled statistics, against scoring the resampled texts again."""

from __future__ import annotations

import time


def reports() -> str:
    """3,000 pairs of Open-i's length with 500 resamples: BLEU, ROUGE-L and the rules' F1, on one thread.

    The peer scores the texts of a resample anew with sacrebleu, rouge-score and the same labels; 2 of its resamples are
    timed, and its time is counted for 500. The values of the whole set must be equal.
    """
    import numpy as np  # here and not above: only after __main__ has set the number of threads
    import raddino_reportgen as rg
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU

    rng = np.random.default_rng(0)
    sentences = [f"{a} {b} {c}." for a in _OPENINGS for b in _MIDDLES for c in _ENDS]
    texts = [" ".join(rng.choice(sentences, 6)) for _ in range(3000)]
    said = [" ".join(rng.choice(sentences, 6)) for _ in range(3000)]
    start = time.process_time()
    found = rg.evaluate(said, texts, replicates=500)
    ours = time.process_time() - start

    def again(rows: np.ndarray) -> tuple[float, float]:
        a, b = [said[i] for i in rows], [texts[i] for i in rows]
        scorer = RougeScorer(["rougeL"])
        rouge = np.mean([scorer.score(y, x)["rougeL"].fmeasure for x, y in zip(a, b, strict=True)])
        rg.label_reports(a), rg.label_reports(b)
        return BLEU(lowercase=True).corpus_score(a, [b]).score / 100, float(rouge)

    start = time.process_time()
    bleu, rouge = again(np.arange(3000))
    again(rng.integers(0, 3000, 3000))
    peer = (time.process_time() - start) * 500 / 2
    if max(abs(bleu - found["bleu4"].value), abs(rouge - found["rouge_l"].value)) > 1e-9:
        raise RuntimeError("expected the peer's BLEU-4 and ROUGE-L")
    return f"{peer / ours:.0f} x texts scored again ({ours:.1f} s against {peer:.0f} s for 3,000 pairs, 500 resamples)"


_OPENINGS = ("There is", "There is no", "No evidence of", "Stable", "Possible", "Interval increase of")
_MIDDLES = ("a small left", "focal", "mild bilateral", "a moderate right", "patchy basilar", "acute")
_ENDS = ("pleural effusion", "consolidation in the lung", "pulmonary edema", "pneumothorax", "rib fracture", "nodule")
