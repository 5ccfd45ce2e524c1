"""The language model: any causal one of transformers, or a small Llama with a tokeniser trained on the reports."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from raddino_reportgen._errors import ReportError
from raddino_reportgen.model._recipe import Recipe

_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `vocabulary` tokens, with `<pad>`, `<s>` and `</s>`; any text comes back."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def small_language_model(recipe: Recipe, tokenizer: Any, positions: int = 1024) -> LlamaForCausalLM:
    """A Llama with random weights of the recipe's seed."""
    if recipe.width % recipe.heads:
        raise ReportError(f"expected a width that {recipe.heads} heads divide, got {recipe.width}")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=8 * recipe.width // 3,
        num_hidden_layers=recipe.depth,
        num_attention_heads=recipe.heads,
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(config)


def load_language_model(source: str | Path) -> tuple[Any, Any]:
    """Model and tokeniser of a folder, or of an id that transformers finds; code from the source is never run.

    A tokeniser with more tokens than the model has embeddings belongs to another model: a `ReportError`.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source))
        model = AutoModelForCausalLM.from_pretrained(str(source), dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ReportError(
            f"expected a causal language model of transformers with its tokeniser at {source}: {error}"
        ) from error
    check_tokenizer(model, tokenizer, str(source))
    return model, tokenizer


def check_tokenizer(model: Any, tokenizer: Any, source: str) -> None:
    """Raise a `ReportError` where the tokeniser can't belong to the model; one without padding gets it."""
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(tokenizer.get_vocab().values())
    if largest >= rows:
        raise ReportError(
            f"expected a tokeniser of at most {rows} tokens, as the language model at {source} has embeddings; got one "
            f"of {largest + 1}: it belongs to another model"
        )
    if tokenizer.eos_token_id is None:
        raise ReportError(f"expected a tokeniser with an end-of-text token at {source}, got none")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
