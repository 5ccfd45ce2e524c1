"""Examples as sequences: prompt with the image's place, then the report, of which alone the loss is taken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raddino_reportgen._errors import ReportError

IGNORED = -100  # what cross-entropy leaves out, by the convention of torch
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Examples:
    """N images: `tokens` (N, K, D) of a frozen encoder, `reports`, and `contexts`, their sections.

    With `rows` (N,) the tokens are those rows of a larger array. It may be memory-mapped: tokens are read as they are
    needed, and no gradient reaches them. K may be 0: then only words are learned.
    """

    tokens: NDArray[Any]
    reports: Sequence[str]
    contexts: Sequence[Mapping[str, str]] | None = None
    rows: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        count = len(self.tokens if self.rows is None else self.rows)
        if self.tokens.ndim != 3 or count != len(self.reports) or not count:
            raise ReportError(
                f"expected tokens (N, K, D) and a report for each, got {count} of shape {self.tokens.shape} and "
                f"{len(self.reports)} reports"
            )
        if self.contexts is not None and len(self.contexts) != len(self.reports):
            raise ReportError(f"expected a context for each of {len(self.reports)}, got {len(self.contexts)}")

    def context(self, row: int) -> Mapping[str, str]:
        """The sections that the prompt may show."""
        return self.contexts[row] if self.contexts is not None else {}


@dataclass(frozen=True)
class Batch:
    """Token ids (B, T), their mask, labels, and `image` (B, T): where an image token stands in place of an id."""

    ids: Tensor
    mask: Tensor
    labels: Tensor
    image: Tensor


def fill_prompt(template: str, context: Mapping[str, str]) -> tuple[str, str]:
    """The words before and after the image; a line that asks for a section that there isn't is left out."""
    if template.count("{image}") != 1:
        raise ReportError(f"expected a prompt with one {{image}}, got {template!r}")
    before, after = template.split("{image}")
    return _fill(before, context), _fill(after, context)


def _fill(template: str, context: Mapping[str, str]) -> str:
    lines = [line for line in template.split("\n") if all(context.get(name) for name in _FIELD.findall(line))]
    return "\n".join(_FIELD.sub(lambda match: " ".join(context[match[1]].split()), line) for line in lines)


def encode(
    tokenizer: Any, prompt: tuple[str, str], report: str | None, images: int, longest: int
) -> tuple[list[int], int, int]:
    """Ids, with 0 where the `images` image tokens go; where these begin; and how many ids come before the report.

    A report longer than `longest` tokens is cut and then has no end-of-text token, so that no early end is learned.
    """
    before, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in prompt)
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    ids = [*start, *before, *[0] * images, *after]
    begin, length = len(start) + len(before), len(ids)
    if report is not None:
        said = [*tokenizer(report, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        ids += said[:longest]
    return ids, begin, length


def collate(rows: Sequence[tuple[list[int], int, int]], images: int, pad: int, *, left: bool = False) -> Batch:
    """Sequences of one length, padded at the end, or at the beginning for generation."""
    longest = max(len(ids) for ids, _, _ in rows)
    ids = torch.full((len(rows), longest), pad)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    image = torch.zeros_like(ids, dtype=torch.bool)
    for i, (row, begin, prompt) in enumerate(rows):
        at = longest - len(row) if left else 0
        ids[i, at : at + len(row)] = torch.tensor(row)
        mask[i, at : at + len(row)] = 1
        labels[i, at + prompt : at + len(row)] = torch.tensor(row[prompt:])
        image[i, at + begin : at + begin + images] = True
    return Batch(ids, mask, labels, image)


def read_tokens(examples: Examples, rows: NDArray[np.intp]) -> Tensor:
    """The image tokens (B, K, D) of some examples as float32, on the CPU."""
    places = rows if examples.rows is None else examples.rows[rows]
    found = np.empty((len(places), *examples.tokens.shape[1:]), np.float32)
    for i in np.argsort(places):  # a memory-mapped file is read in its order
        found[i] = examples.tokens[places[i]]
    return torch.from_numpy(found)
