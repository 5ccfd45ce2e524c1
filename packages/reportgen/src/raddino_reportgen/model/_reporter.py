"""The model: a projector before a causal language model, and how it writes."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from raddino_reportgen._errors import ReportError
from raddino_reportgen.model._agreement import agree
from raddino_reportgen.model._data import (
    Batch,
    Encoded,
    Examples,
    block_mask,
    collate,
    encode,
    fill_prompt,
    pack,
    read_tokens,
)
from raddino_reportgen.model._language import (
    check_tokenizer,
    load_language_model,
    small_language_model,
    train_tokenizer,
)
from raddino_reportgen.model._projector import Mlp, Resampler
from raddino_reportgen.model._recipe import Recipe, as_dict

_FORMAT = 1


@dataclass(frozen=True)
class Decoding:
    """How to write: greedy; the best of `beams`; or sampled at a `temperature` above 0 from the likeliest `top_p`.

    Of several `samples` the one is kept whose findings agree best with the others'.
    """

    beams: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    seed: int = 0


class Reporter(nn.Module):
    """Image tokens (B, K, D) through the projector stand where the prompt says; the language model goes on."""

    mean: Tensor
    scale: Tensor

    def __init__(self, recipe: Recipe, language: Any, tokenizer: Any, tokens: int, dim: int) -> None:
        super().__init__()
        check_tokenizer(language, tokenizer, "the recipe")
        base = language.get_base_model() if hasattr(language, "peft_config") else language
        if recipe.pack and "position_ids" not in inspect.signature(base.forward).parameters:
            raise ReportError(f"expected a language model that takes positions, to pack; {type(language).__name__} "
                              "doesn't: set pack=0")  # fmt: skip
        width = language.get_input_embeddings().weight.shape[1]
        self.recipe, self.tokenizer, self.tokens, self.dim = recipe, tokenizer, tokens, dim
        torch.manual_seed(recipe.seed)
        self.projector: nn.Module
        if recipe.projector == "mlp" or not tokens:
            self.projector, self.images = Mlp(dim, width, recipe.projector_layers), tokens
        else:
            self.projector = Resampler(tokens, dim, width, recipe.projector_layers, recipe.queries)
            self.images = recipe.queries
        # Tokens of unlike encoders have unlike sizes; those of the training set are brought to mean 0 and variance 1,
        # each place by itself: what all radiographs share there says nothing.
        self.register_buffer("mean", torch.zeros(tokens, dim))
        self.register_buffer("scale", torch.ones(tokens, dim))
        self.language = _adapted(language, recipe)

    @classmethod
    def build(cls, recipe: Recipe, examples: Examples, language_model: str | Path | None = None) -> Reporter:
        """A reporter for the tokens of `examples`; without a language model, a small one and its own tokeniser."""
        _, tokens, dim = examples.tokens.shape
        if language_model is None and recipe.adapt != "full":
            raise ReportError(f"expected a language model to adapt by {recipe.adapt}; name one, or set adapt=full")
        if language_model is None:
            prompts = ["".join(_prompt(recipe, examples, i)[0]) for i in range(len(examples.reports))]
            tokenizer = train_tokenizer([*examples.reports, *prompts], recipe.vocabulary)
            language: Any = small_language_model(recipe, tokenizer)
        else:
            language, tokenizer = load_language_model(language_model)
        found = cls(recipe, language, tokenizer, tokens, dim)
        if tokens:
            rows = np.linspace(0, len(examples.reports) - 1, min(512, len(examples.reports))).astype(int)
            sample = read_tokens(examples, [examples.images(int(row))["image"] for row in rows])
            found.mean.copy_(sample.mean(dim=0))
            spread = sample.std(dim=0, correction=0)
            # A channel that hardly changes at its place stays small.
            found.scale.copy_(1 / spread.clamp(min=1e-2 * float(spread.mean()) + 1e-6))
        return found

    @property
    def positions(self) -> int:
        """The longest sequence that the language model takes."""
        return int(self.language.config.max_position_embeddings)

    def batch(self, examples: Examples, rows: NDArray[np.intp], *, written: bool) -> Batch:
        """Sequences of some examples, with their reports or only the prompts (`written` False), on the CPU."""
        found: list[Encoded] = []
        for row in rows:
            words, names = _prompt(self.recipe, examples, int(row))
            report, images = examples.reports[row] if written else None, examples.images(int(row))
            places = [images[name] for name in names]
            found.append(encode(self.tokenizer, words, report, places, self.images, self.recipe.max_report))
            need = len(found[-1].ids) + (0 if written else self.recipe.max_report)
            if need > self.positions:
                raise ReportError(
                    f"expected at most {self.positions} tokens, which the language model takes; report {row} needs "
                    f"{need}: shorten its context, choose a smaller max_report, or use a resampler"
                )
        together = pack(found, self.recipe.pack) if written and self.recipe.pack else [[example] for example in found]
        return collate(together, self.images, self.tokenizer.pad_token_id, left=not written)

    def embed(self, tokens: Tensor, batch: Batch) -> Tensor:
        """What the language model reads: (B, T, width)."""
        if tokens.shape[1:] != (self.tokens, self.dim):
            raise ReportError(
                f"expected image tokens (B, {self.tokens}, {self.dim}), as the projector was made for; got "
                f"{tuple(tokens.shape)}: use features of the same encoder and size"
            )
        embeddings: Tensor = self.language.get_input_embeddings()(batch.ids)
        if not self.images:
            return embeddings
        images = self.projector((tokens - self.mean) * self.scale)
        return embeddings.masked_scatter(batch.image[..., None], images.to(embeddings.dtype))

    def forward(self, tokens: Tensor, batch: Batch) -> Tensor:
        """The summed cross-entropy (nats) of the reports' tokens; `tokens` (M, K, D) are of the batch's places."""
        embeddings = self.embed(tokens, batch)
        where: dict[str, Tensor] = {"attention_mask": batch.blocks}
        if self.recipe.pack:
            where = {"attention_mask": block_mask(batch.blocks, embeddings.dtype), "position_ids": batch.positions}
        outputs = self.language(inputs_embeds=embeddings, use_cache=False, **where)
        logits = outputs.logits[:, :-1].float()
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels[:, 1:].flatten(), reduction="sum")

    @torch.inference_mode()
    def generate(
        self,
        tokens: NDArray[Any],
        contexts: Sequence[Mapping[str, str]] | None = None,
        decoding: Decoding = Decoding(),
        *,
        rows: NDArray[np.intp] | None = None,
        views: Mapping[str, NDArray[np.intp]] | None = None,
        batch_size: int = 32,
        progress: Any = None,
    ) -> list[str]:
        """A report for each of (N, K, D), in batches with a key-value cache; `rows` and `views` as in `Examples`."""
        count = len(tokens if rows is None else rows)
        examples = Examples(tokens, [""] * count, contexts, rows, views or {})
        device = next(self.parameters()).device
        torch.manual_seed(decoding.seed)
        self.eval()
        options = _options(decoding)
        said: list[str] = []
        for start in range(0, count, batch_size):
            some = np.arange(start, min(start + batch_size, count))
            batch = on_device(self.batch(examples, some, written=False), device)
            embeddings = self.embed(read_tokens(examples, batch.places.cpu()).to(device), batch)
            said += agree([self._write(embeddings, batch, options) for _ in range(decoding.samples)])
            if progress:
                progress(len(said), count)
        return said

    def _write(self, embeddings: Tensor, batch: Batch, options: Mapping[str, Any]) -> list[str]:
        written = self.language.generate(
            inputs_embeds=embeddings,
            attention_mask=batch.blocks,
            max_new_tokens=self.recipe.max_report,
            pad_token_id=self.tokenizer.pad_token_id,
            **options,
        )
        return [text.strip() for text in self.tokenizer.batch_decode(written, skip_special_tokens=True)]

    def save(self, folder: Path) -> None:
        """Write `reporter.json`, `projector.safetensors`, `language/` (or LoRA's adapter) and `tokenizer/`."""
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        weights = {name: value.contiguous() for name, value in self.state_dict().items() if "language." not in name}
        save_file(weights, part / "projector.safetensors")
        self.language.save_pretrained(part / "language", safe_serialization=True)
        self.tokenizer.save_pretrained(part / "tokenizer")
        base = self.language.peft_config["default"].base_model_name_or_path if self.recipe.adapt == "lora" else None
        facts = {"format": _FORMAT, "tokens": self.tokens, "dim": self.dim, "base": base}
        facts["recipe"] = as_dict(self.recipe)
        (part / "reporter.json").write_text(json.dumps(facts, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Reporter:
        """A reporter that `save` wrote; nothing in the folder is run."""
        place = Path(folder)
        try:
            facts = json.loads((place / "reporter.json").read_bytes())
            recipe, tokens, dim = Recipe(**facts["recipe"]), int(facts["tokens"]), int(facts["dim"])
            weights = load_file(place / "projector.safetensors")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReportError(f"expected a reporter that `raddino report train` wrote at {place}: {error}") from error
        tokenizer = AutoTokenizer.from_pretrained(place / "tokenizer")
        if recipe.adapt == "lora":
            from peft import PeftModel

            language = PeftModel.from_pretrained(load_language_model(facts["base"])[0], place / "language")
        else:
            language = AutoModelForCausalLM.from_pretrained(
                place / "language", dtype=torch.float32, use_safetensors=True
            )
        found = cls(recipe, language, tokenizer, tokens, dim)
        found.load_state_dict(weights, strict=False)
        return found.eval()


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch there."""
    return Batch(**{name: part.to(device) for name, part in vars(batch).items()})


def _prompt(recipe: Recipe, examples: Examples, row: int) -> tuple[list[str], list[str]]:
    return fill_prompt(recipe.prompt, examples.context(row), examples.images(row))


def _options(decoding: Decoding) -> dict[str, Any]:
    if decoding.beams < 1 or decoding.temperature < 0 or not 0 < decoding.top_p <= 1:
        raise ReportError(f"expected beams from 1, a temperature from 0 and top_p above 0 up to 1; got {decoding}")
    if decoding.temperature and decoding.beams > 1:
        raise ReportError("expected beams or sampling, got both; set one")
    if decoding.samples < 1 or (decoding.samples > 1 and not decoding.temperature):
        raise ReportError(f"expected samples from 1, and a temperature above 0 for more than one; got {decoding}")
    if decoding.temperature:
        return {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    return {"do_sample": False, "num_beams": decoding.beams}


def _adapted(language: Any, recipe: Recipe) -> Any:
    if recipe.adapt == "full":
        return language
    language.requires_grad_(False)
    if recipe.adapt == "frozen" or hasattr(language, "peft_config"):
        return language
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ReportError("expected peft for LoRA; pip install 'raddino-reportgen[lora]'") from error
    return get_peft_model(
        language,
        LoraConfig(
            r=recipe.lora_rank, lora_alpha=2 * recipe.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
