"""Probes against scikit-learn: a sweep of heads, and the bootstrap of ranking metrics."""

from __future__ import annotations

import time


def sweep() -> str:
    """13 strengths x 4 choices of features x 14 labels on 20,000 x 768, in one pass, against one after the other.

    The peers are scikit-learn's Newton solver, which finds the same numbers, and its default solver at its default
    tolerance, each strength started from the one before, which finds rougher ones. They fit one label for each choice
    of features (Newton at four of the strengths), and their processor time is counted for all heads.
    """
    import numpy as np  # here and not above: only after __main__ has set the number of threads
    from raddino_probes import STRENGTHS, fit_heads, fit_heads_singly, standardise
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    ours, newton, default, apart, rough = 0.0, 0.0, 0.0, 0.0, 0.0
    for label in (0, 4, 9, 13):
        # Correlated features, labels from 5 % to 50 % positive, a fifth of them unknown.
        mixed = rng.normal(size=(20_000, 768)) @ (rng.normal(size=(768, 768)) * np.logspace(0, -2, 768)[:, None])
        x, _ = standardise(mixed)
        odds = x @ rng.normal(size=(768, 14))
        odds = 1.5 * odds / odds.std(0) + np.linspace(-4, 0, 14)
        y = (rng.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(float)
        y[rng.random(y.shape) < 0.2] = np.nan
        start = time.process_time()
        found = fit_heads(x, y).log_odds(x)[:, label]
        ours += time.process_time() - start
        start = time.process_time()
        singly = fit_heads_singly(x, y[:, [label]]).log_odds(x)[:, 0]
        default += 14 * (time.process_time() - start)
        rough = max(rough, float(np.abs(singly - found).max()))
        known = ~np.isnan(y[:, label])
        for at in (0, 4, 8, 12):
            start = time.process_time()
            exact = LogisticRegression(C=STRENGTHS[at], solver="newton-cholesky", tol=1e-6)
            log_odds = exact.fit(x[known], y[known, label]).decision_function(x)
            newton += 14 * 13 / 4 * (time.process_time() - start)
            apart = max(apart, float(np.abs(log_odds - found[:, at]).max()))
    if apart > 1e-4:
        raise RuntimeError(f"expected the same log odds within 1e-4, got a difference of {apart:.2g}")
    return (
        f"{newton / ours:.0f} x scikit-learn's Newton ({ours:.0f} s against {newton:.0f} s for 728 heads, within "
        f"{apart:.0e}), {default / ours:.1f} x its default ({default:.0f} s, within {rough:.0e})"
    )


def bootstrap() -> str:
    """1,000 replicates by patient of AUROC and AP for 14 findings on 25,000 images, against a loop over scikit-learn.

    The peer computes 3 of the replicates, and its time is counted for all; these must be equal to 1e-9.
    """
    import numpy as np
    from raddino_probes import score_findings
    from raddino_probes._bootstrap import build
    from raddino_probes._resample import multiplicities, resample
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    metrics = {"auroc": roc_auc_score, "average_precision": average_precision_score}
    who = np.unique(rng.integers(0, 10_000, 25_000), return_inverse=True)[1]
    targets = (rng.random((25_000, 14)) < np.linspace(0.01, 0.5, 14)).astype(float)
    scores = np.round(targets + 1.5 * rng.normal(size=targets.shape), 4)  # ties
    times = []
    for _ in range(3):
        start = time.process_time()
        score_findings(dict.fromkeys(metrics, scores), targets, who, [str(i) for i in range(14)])
        times.append(time.process_time() - start)
    wanted = [(metric, targets[:, i], scores[:, i]) for metric in metrics for i in range(14)]
    statistics, count = build(list(wanted), who)
    drawn = resample(statistics, count, replicates=3).draws
    weights = np.concatenate(list(multiplicities(count, 3, 0)), axis=1)
    start, apart = time.process_time(), 0.0
    for replicate in range(3):
        rows = np.repeat(np.arange(len(who)), weights[who, replicate].astype(int))
        for place, (metric, t, s) in enumerate(wanted):
            apart = max(apart, abs(metrics[metric](t[rows], s[rows]) - drawn[place, replicate]))
    peer, ours = (time.process_time() - start) * 1000 / 3, float(np.median(times))
    if apart > 1e-9:
        raise RuntimeError(f"expected the same replicates within 1e-9, got a difference of {apart:.2g}")
    return f"{peer / ours:.0f} x scikit-learn ({ours:.1f} s against {peer:.0f} s, within {apart:.0e})"
