"""RadCliQ (Yu et al. 2023): predicted errors of a report from four other metrics, from its published pickles."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU

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
_KINDS = ("CompositeMetric", "StandardScaler", "LinearRegression", "MinMaxScaler")


class _Fields:
    """What stands for a class of the pickle: its attributes, and none of its code."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAYS:
            return super().find_class(module, name)
        if name in _KINDS:
            return _Fields
        raise ReportError(f"expected numbers and {', '.join(_KINDS)}; the file wants {module}.{name}")


class RadCliQ:
    """The composite of four metrics, lower is better: about the number of errors.

    v1 is `radcliq-v1.pkl` alone, which holds means, scales and weights; v0 is `composite_metric_model.pkl`, a linear
    regression, with its `normalizer.pkl`, which brings the four to 0 to 1.
    """

    def __init__(self, path: str | Path, normalizer: str | Path | None = None) -> None:
        self._scale: NDArray[np.float64]
        self._shift: NDArray[np.float64]
        model = _read(path)
        try:
            if normalizer is None:
                self._scale = 1 / np.asarray(model.scaler.scale_, dtype=float)
                self._shift = -np.asarray(model.scaler.mean_, dtype=float) * self._scale
                weights = np.asarray(model.coefs, dtype=float)
            else:
                scaler = _read(normalizer)
                self._scale, self._shift = (np.asarray(v, dtype=float) for v in (scaler.scale_, scaler.min_))
                weights = np.append(np.ravel(model.coef_), model.intercept_).astype(float)
        except (AttributeError, TypeError, ValueError) as error:
            raise ReportError(
                f"expected RadCliQ-v1's radcliq-v1.pkl, or v0's composite_metric_model.pkl with normalizer.pkl; "
                f"got {path}: {error}"
            ) from error
        if self._scale.shape != (4,) or self._shift.shape != (4,) or weights.shape != (5,):
            raise ReportError(f"expected 4 means and scales and 5 weights in {path}, got {self._shift.shape}, "
                              f"{self._scale.shape} and {weights.shape}")  # fmt: skip
        self._weights = weights

    def __call__(
        self, radgraph: NDArray[Any], bertscore: NDArray[Any], similarity: NDArray[Any], bleu: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Of each pair (N,): RadGraph F1 (`RG_combined`), BERTScore, CheXbert's similarity and BLEU-2, from 0 to 1."""
        table = np.stack(
            [np.asarray(column, dtype=float) for column in (radgraph, bertscore, similarity, bleu)], axis=1
        )
        return np.asarray((table * self._scale + self._shift) @ self._weights[:4] + self._weights[4])


def bleu_2(candidates: list[str], references: list[str]) -> NDArray[np.float64]:
    """BLEU of two words of each pair (N,) as RadCliQ takes it: small letters, words by spaces, full stops apart."""
    metric = BLEU(max_ngram_order=2, tokenize="none", smooth_method="none", effective_order=False)
    split = [[" ".join(text.lower().replace(".", " .").split()) for text in side] for side in (candidates, references)]
    return np.array([metric.sentence_score(a, [b]).score / 100 for a, b in zip(*split, strict=True)])


def _read(path: str | Path) -> Any:
    try:
        with Path(path).open("rb") as file:
            return _Reader(file).load()
    except (ReportError, OSError, pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError) as error:
        raise ReportError(f"expected RadCliQ's composite metric at {path}: {error}") from error
