"""Weighted nearest neighbours as in DINOv2's evaluation: cosine similarity, softmax weights (Wu et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raddino_probes._linear import Choice, Fitted
from raddino_probes._resample import Array
from raddino_probes._split import Findings
from raddino_probes._thresholds import auroc_of_columns

NEIGHBOURS = (10, 20, 100, 200)
"""Numbers of neighbours tried, each at most the training rows with a known target."""
TEMPERATURE = 0.07
_BLOCK = 1024  # rows compared with all training rows at a time


def fit_knn(train: Findings, val: Findings, features: Mapping[str, Array]) -> Fitted:
    """Positive share 0..1 among the neighbours, for the features and k with the best AUROC on val.

    Features are L2-normalised and not standardised, as in DINOv2. Ties go to the first features and fewer neighbours.
    """
    count = len(train.names)
    best, choices = np.full(count, -np.inf), [Choice() for _ in train.names]
    shares, test = np.empty((len(val), count)), np.empty((len(next(iter(features.values()))), count))
    for name, keys in train.features.items():
        on_val = neighbour_votes(keys, train.targets, val.features[name])
        on_test = neighbour_votes(keys, train.targets, features[name])
        for i in range(count):
            known = ~np.isnan(val.targets[:, i])
            values = auroc_of_columns(val.targets[known, i], on_val[known, i])
            at = int(np.argmax(values))
            if values[at] > best[i]:
                best[i], shares[:, i], test[:, i] = values[at], on_val[:, i, at], on_test[:, i, at]
                k = min(NEIGHBOURS[at], int((~np.isnan(train.targets[:, i])).sum()))
                choices[i] = {"features": name, "k": k, "val_auroc": float(values[at])}
    return Fitted(choices, shares, test, [None] * count)


def neighbour_votes(keys: Array, targets: Array, features: Array, ks: Sequence[int] = NEIGHBOURS) -> Array:
    """Mean target of the k nearest rows that have one, weighted by exp(cosine / temperature): (M, L, len(ks)).

    `keys` are (N, D), `targets` (N, L) with NaN for unknown, `features` (M, D). Where fewer than k are known, all are
    neighbours.
    """
    votes = np.empty((len(features), targets.shape[1], len(ks)))
    known = ~np.isnan(targets)
    # Findings whose unknown rows are the same share their neighbours.
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    unit = _unit(keys)
    for start in range(0, len(features), _BLOCK):
        rows = slice(start, start + _BLOCK)
        similarity = _unit(features[rows]) @ unit.T
        for pattern in range(patterns.shape[1]):
            mine, among = np.flatnonzero(which == pattern), np.flatnonzero(patterns[:, pattern])
            votes[rows, mine] = _votes(similarity[:, among], targets[np.ix_(among, mine)], ks)
    return votes


def _votes(similarity: Array, targets: Array, ks: Sequence[int]) -> Array:
    most = min(max(ks), similarity.shape[1])
    nearest: NDArray[np.intp] = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
    nearest = np.take_along_axis(nearest, np.argsort(-np.take_along_axis(similarity, nearest, 1), axis=1), 1)
    top = np.take_along_axis(similarity, nearest, 1)
    weights = np.exp((top - top[:, :1]) / TEMPERATURE)
    ends = np.minimum(ks, most) - 1
    taken = np.cumsum(weights, axis=1)[:, ends]
    positive = np.cumsum(weights[:, :, None] * targets[nearest], axis=1)[:, ends]
    shares: Array = (positive / taken[:, :, None]).transpose(0, 2, 1)
    return shares


def _unit(x: Array) -> Array:
    # A zero vector stays zero: similar to nothing.
    norm: Array = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
