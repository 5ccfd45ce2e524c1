"""A BERT in the sizes that published weights have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD_WIDTH = 64  # of BERT's attention, which a checkpoint doesn't say


def build_bert(weights: Mapping[str, Any]) -> Any:
    """BertModel with these weights, by its own names; KeyError or RuntimeError where one is missing or too many."""
    from transformers import BertConfig, BertModel

    # Old checkpoints hold the positions 0, 1, 2 ... as a weight.
    weights = {name: value for name, value in weights.items() if name != "embeddings.position_ids"}
    words, width = weights["embeddings.word_embeddings.weight"].shape
    bert = BertModel(
        BertConfig(
            vocab_size=words,
            hidden_size=width,
            num_hidden_layers=len({name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}),
            num_attention_heads=max(1, width // _HEAD_WIDTH),
            intermediate_size=len(weights["encoder.layer.0.intermediate.dense.bias"]),
            max_position_embeddings=len(weights["embeddings.position_embeddings.weight"]),
        )
    )
    bert.load_state_dict(weights)
    return bert.eval()
