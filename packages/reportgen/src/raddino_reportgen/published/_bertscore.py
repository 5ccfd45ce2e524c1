"""BERTScore (Zhang et al. 2020) by the authors' package bert-score, with a language model from a local folder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError


class BertScore:
    """F1 of each pair (N,); needs the extra `bertscore`.

    `folder` holds the weights and the tokeniser of `name`, a model that bert-score knows: by its name it chooses the
    layer, and the baseline that it carries for English. With `rescale` the F1 are (F1 - baseline) / (1 - baseline), as
    RadCliQ takes them and as most papers of the field print them; without, as they come, near 0.9 for any two
    sentences. No weight by rarity of words (idf). An empty candidate scores 0.
    """

    def __init__(
        self, folder: str | Path, *, name: str = "distilroberta-base", rescale: bool = True, device: str = "cpu"
    ) -> None:
        try:
            import bert_score
            from bert_score.utils import model2layers
        except ImportError as error:
            raise ReportError("expected bert-score; pip install 'raddino-reportgen[bertscore]'") from error
        baseline = Path(bert_score.__file__).parent / "rescale_baseline" / "en" / f"{name}.tsv"
        if name not in model2layers or not (baseline.exists() or not rescale):
            raise ReportError(f"expected a model that bert-score knows, with a baseline to rescale by; got {name!r}")
        if not (Path(folder) / "config.json").is_file():
            raise ReportError(f"expected a folder of transformers with config.json at {folder}, found none")
        try:
            self._scorer = bert_score.BERTScorer(
                model_type=str(folder), num_layers=model2layers[name], lang="en", device=device,
                rescale_with_baseline=rescale, baseline_path=str(baseline), use_fast_tokenizer=True,
            )  # fmt: skip
        except (OSError, ValueError, AssertionError) as error:
            raise ReportError(f"expected {name}, weights and tokeniser, at {folder}: {error}") from error
        # What a tokeniser without a limit of its own says is too large for it.
        self._scorer._tokenizer.model_max_length = min(self._scorer._tokenizer.model_max_length, 512)

    def __call__(self, candidates: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
        """F1 (N,) of candidates and references with words."""
        found = np.zeros(len(candidates))
        spoken = [i for i, text in enumerate(candidates) if text.strip()]
        if spoken:
            with warnings.catch_warnings():  # bert-score reads its baseline as an array that can't be written to
                warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
                _, _, f1 = self._scorer.score([candidates[i] for i in spoken], [references[i] for i in spoken])
            found[spoken] = f1.numpy()
        return found
