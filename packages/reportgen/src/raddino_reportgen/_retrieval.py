"""The simplest generator: say of an image what was said of the training image most like it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError

Features = NDArray[np.floating]


class Retrieval:
    """Nearest neighbour by cosine similarity of features (N, D), standardised by the training set."""

    def __init__(self, features: Features, reports: Sequence[str]) -> None:
        if len(features) != len(reports) or len(reports) == 0:
            raise ReportError(f"expected a report for each of some features, got {len(reports)} and {len(features)}")
        _check(features)
        self._mean = features.mean(axis=0)
        self._scale = 1 / np.maximum(features.std(axis=0), 1e-6)
        self._known, self._reports = self._direction(features), list(reports)

    def nearest(self, features: Features) -> NDArray[np.intp]:
        """The row of the training set nearest to each of (M, D)."""
        return self.ranked(features, 1)[:, 0]

    def ranked(self, features: Features, count: int) -> NDArray[np.intp]:
        """The `count` rows of the training set nearest to each of (M, D), nearest first: (M, count)."""
        _check(features)
        if features.shape[1] != self._known.shape[1]:
            raise ReportError(f"expected features of {self._known.shape[1]} channels, got {features.shape[1]}")
        if not 1 <= count <= len(self._known):
            raise ReportError(f"expected 1 to {len(self._known)} neighbours, as there are, got {count}")
        return np.argsort(-(self._direction(features) @ self._known.T), axis=1, kind="stable")[:, :count]

    def generate(self, features: Features) -> list[str]:
        """The report of the nearest training image for each of (M, D)."""
        return [self._reports[i] for i in self.nearest(features)]

    def _direction(self, features: Features) -> Features:
        centred = (features - self._mean) * self._scale
        return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12))


def most_frequent(reports: Sequence[str]) -> str:
    """The commonest report: the baseline that looks at nothing."""
    if not reports:
        raise ReportError("expected at least one report, got none")
    return Counter(reports).most_common(1)[0][0]


def _check(features: Features) -> None:
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ReportError(f"expected finite features (N, D), got shape {features.shape}, or NaN among them")
