"""RadCliQ-v1 (Yu et al. 2023): predicted errors of a report from four other metrics, from its published pickle."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError

COLUMNS = ("radgraph_combined", "bertscore", "semb_score", "bleu_score")
_ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
}


class _Fields:
    """What stands for a class of the pickle: its attributes, and none of its code."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAYS:
            return super().find_class(module, name)
        if name in ("CompositeMetric", "StandardScaler"):
            return _Fields
        raise ReportError(f"expected numbers, a StandardScaler and a CompositeMetric; the file wants {module}.{name}")


class RadCliQ:
    """The composite of `composite_metric_model.pkl`: lower is better, about the number of errors."""

    def __init__(self, path: str | Path) -> None:
        try:
            with Path(path).open("rb") as file:
                found = _Reader(file).load()
            self._mean = np.asarray(found.scaler.mean_, dtype=float)
            self._scale = np.asarray(found.scaler.scale_, dtype=float)
            self._weights = np.asarray(found.coefs, dtype=float)
        except ReportError as error:
            raise ReportError(f"expected RadCliQ's composite metric at {path}: {error}") from error
        except (OSError, pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError) as error:
            raise ReportError(f"expected RadCliQ's composite metric at {path}: {error}") from error
        if self._mean.shape != (4,) or self._scale.shape != (4,) or self._weights.shape != (5,):
            raise ReportError(f"expected 4 means and scales and 5 weights in {path}, got {self._mean.shape}, "
                              f"{self._scale.shape} and {self._weights.shape}")  # fmt: skip

    def __call__(
        self, radgraph: NDArray[Any], bertscore: NDArray[Any], similarity: NDArray[Any], bleu: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Of each pair (N,): RadGraph F1, BERTScore, CheXbert's similarity and BLEU-2, from 0 to 1."""
        table = np.stack(
            [np.asarray(column, dtype=float) for column in (radgraph, bertscore, similarity, bleu)], axis=1
        )
        return np.asarray((table - self._mean) / self._scale @ self._weights[:4] + self._weights[4])
