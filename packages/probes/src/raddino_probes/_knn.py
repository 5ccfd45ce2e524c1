"""Weighted nearest neighbours as in DINOv2's evaluation: cosine similarity, softmax weights (Wu et al. 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raddino_probes._metrics import auroc
from raddino_probes._split import Split

NEIGHBOURS = (10, 20, 100, 200)
"""Numbers of neighbours tried, each at most the training rows."""
TEMPERATURE = 0.07
_BLOCK = 1024  # rows compared with all training rows at a time


def fit_knn(
    train: Split, val: Split, features: NDArray[np.float64]
) -> tuple[dict[str, float | int | str], NDArray[np.float64]]:
    """Positive share (M,) in 0..1 among the neighbours of `features` (M, D), for the k with the best AUROC on val.

    Features are L2-normalised and not standardised, as in DINOv2. Ties go to fewer neighbours.
    """
    ks = sorted({min(k, len(train)) for k in NEIGHBOURS})
    votes = neighbour_votes(train, val.features, ks)
    values = [auroc(val.targets, votes[k]) for k in ks]
    chosen = ks[int(np.argmax(values))]
    return {"k": chosen, "val_auroc": max(values)}, neighbour_votes(train, features, [chosen])[chosen]


def neighbour_votes(train: Split, features: NDArray[np.float64], ks: list[int]) -> dict[int, NDArray[np.float64]]:
    """For each k the mean target of the k nearest training rows, weighted by exp(cosine / temperature): (M,) each."""
    keys, most = _unit(train.features), max(ks)
    votes: dict[int, list[NDArray[np.float64]]] = {k: [] for k in ks}
    for start in range(0, len(features), _BLOCK):
        similarity = _unit(features[start : start + _BLOCK]) @ keys.T
        nearest = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
        nearest = np.take_along_axis(nearest, np.argsort(-np.take_along_axis(similarity, nearest, 1), axis=1), 1)
        top = np.take_along_axis(similarity, nearest, 1)
        weights = np.exp((top - top[:, :1]) / TEMPERATURE)
        for k in ks:
            share = (weights[:, :k] * train.targets[nearest[:, :k]]).sum(1) / weights[:, :k].sum(1)
            votes[k].append(share)
    return {k: np.concatenate(parts) for k, parts in votes.items()}


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # A zero vector stays zero: similar to nothing.
    norm: NDArray[np.float64] = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
