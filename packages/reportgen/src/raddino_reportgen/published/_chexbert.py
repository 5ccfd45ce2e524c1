"""CheXbert (Smit et al. 2020): a BERT with a head for each finding, from its published checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError
from raddino_reportgen.labels import FINDINGS
from raddino_reportgen.published._bert import build_bert

# The heads' classes: blank, positive, negative, uncertain; "No Finding" has the first two.
_MEANING = np.array([np.nan, 1.0, 0.0, -1.0])
_LONGEST = 512


class CheXbert:
    """Labels (N, 14) and embeddings (N, D) of texts.

    `checkpoint` is the authors' `chexbert.pth`: `model_state_dict` with `bert.*` and `linear_heads.<i>.*`, names maybe
    after `module.`. `vocabulary` is the `vocab.txt` of bert-base-uncased. Calling it gives labels, so that it is a
    `labeller` for `evaluate`.
    """

    def __init__(self, checkpoint: str | Path, vocabulary: str | Path, *, device: str = "cpu") -> None:
        import torch
        from transformers import BertTokenizerFast

        if not Path(vocabulary).is_file():
            raise ReportError(f"expected bert-base-uncased's vocab.txt at {vocabulary}, found none")
        self._bert, self._heads = _build(_read(checkpoint), str(checkpoint))
        self._bert.to(device).eval()
        self._heads = [(weight.to(device), bias.to(device)) for weight, bias in self._heads]
        self._tokenizer = BertTokenizerFast(vocab=str(vocabulary), do_lower_case=True)
        self._device = torch.device(device)
        rows, tokens = self._bert.config.vocab_size, len(self._tokenizer)
        if tokens != rows:
            raise ReportError(f"expected a vocabulary of {rows} words, as {checkpoint} has; {vocabulary} has {tokens}")

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Labels (N, 14): 1 present, 0 absent, -1 uncertain, NaN not mentioned."""
        embedded = self._embed(texts)
        classes = [(embedded @ weight.T + bias).argmax(dim=1).cpu().numpy() for weight, bias in self._heads]
        return np.asarray(_MEANING[np.stack(classes, axis=1)])

    def similarity(self, a: Sequence[str], b: Sequence[str]) -> NDArray[np.float64]:
        """Cosine of the class tokens of each pair (N,): the `semb_score` of RadCliQ."""
        import torch

        found = torch.nn.functional.cosine_similarity(self._embed(a), self._embed(b), dim=1)
        return np.asarray(found.cpu().numpy(), dtype=float)

    def _embed(self, texts: Sequence[str], batch_size: int = 32) -> Any:
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                cleaned = [" ".join(text.split()) for text in texts[start : start + batch_size]]
                words = self._tokenizer(
                    cleaned, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt"
                )
                words = words.to(self._device)
                seen = self._bert(input_ids=words["input_ids"], attention_mask=words["attention_mask"])
                parts.append(seen.last_hidden_state[:, 0])
        return torch.cat(parts)


def _read(checkpoint: str | Path) -> Mapping[str, Any]:
    import pickle

    import torch

    try:
        found = torch.load(checkpoint, map_location="cpu", weights_only=True)
        weights = {name.removeprefix("module."): value for name, value in found["model_state_dict"].items()}
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise ReportError(f"expected CheXbert's checkpoint with model_state_dict at {checkpoint}: {error}") from error
    return weights


def _build(weights: Mapping[str, Any], source: str) -> tuple[Any, list[tuple[Any, Any]]]:
    """BERT in the sizes that the weights have, and the heads; a missing weight or one too many is an error."""
    try:
        heads = [(weights[f"linear_heads.{i}.weight"], weights[f"linear_heads.{i}.bias"]) for i in range(len(FINDINGS))]
        bert = build_bert({n.removeprefix("bert."): w for n, w in weights.items() if n.startswith("bert.")})
    except (KeyError, RuntimeError, ValueError) as error:
        raise ReportError(f"expected CheXbert's weights (bert.*, linear_heads.0 to 13) in {source}: {error}") from error
    sizes = [len(bias) for _, bias in heads]
    if sizes != [4] * 13 + [2]:
        raise ReportError(f"expected 13 heads of 4 classes and one of 2 in {source}, got {sizes}")
    return bert, heads
