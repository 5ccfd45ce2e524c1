"""Examples as sequences: prompt with the places of images, then the report, of which alone the loss is taken."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raddino_reportgen._errors import ReportError

IGNORED = -100  # what cross-entropy leaves out, by the convention of torch
VIEWS = ("lateral", "prior")  # images that a prompt may have beside the one that is reported
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Examples:
    """N images: `tokens` (N, K, D) of a frozen encoder, `reports`, and `contexts`, their sections.

    With `rows` (N,) the tokens are those rows of a larger array. It may be memory-mapped: tokens are read as they are
    needed, and no gradient reaches them. K may be 0: then only words are learned. `views` are further images of each,
    by a name of `VIEWS`: rows (N,) of the same array, -1 where there is none.
    """

    tokens: NDArray[Any]
    reports: Sequence[str]
    contexts: Sequence[Mapping[str, str]] | None = None
    rows: NDArray[np.intp] | None = None
    views: Mapping[str, NDArray[np.intp]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.tokens if self.rows is None else self.rows)
        if self.tokens.ndim != 3 or count != len(self.reports) or not count:
            raise ReportError(
                f"expected tokens (N, K, D) and a report for each, got {count} of shape {self.tokens.shape} and "
                f"{len(self.reports)} reports"
            )
        if self.contexts is not None and len(self.contexts) != len(self.reports):
            raise ReportError(f"expected a context for each of {len(self.reports)}, got {len(self.contexts)}")
        for name, rows in self.views.items():
            if name not in VIEWS or len(rows) != len(self.reports):
                raise ReportError(f"expected rows of each report for {', '.join(VIEWS)}; got {len(rows)} for {name!r}")

    def context(self, row: int) -> Mapping[str, str]:
        """The sections that the prompt may show."""
        return self.contexts[row] if self.contexts is not None else {}

    def images(self, row: int) -> dict[str, int]:
        """The images that the prompt may show: rows of `tokens`."""
        found = {"image": row if self.rows is None else int(self.rows[row])}
        return found | {name: int(rows[row]) for name, rows in self.views.items() if rows[row] >= 0}


@dataclass(frozen=True)
class Encoded:
    """An example's `ids`, with 0 for image tokens; where each image begins; ids before the report; rows of images."""

    ids: list[int]
    begins: list[int]
    prompt: int
    places: list[int]


@dataclass(frozen=True)
class Batch:
    """Token ids (B, T), the example in its row that each belongs to (from 1; 0 is padding), its position there, labels.

    `image` (B, T) says where an image token stands in place of an id, and `places` (M,), in the same order, of which
    image: a row of the examples' tokens.
    """

    ids: Tensor
    blocks: Tensor
    positions: Tensor
    labels: Tensor
    image: Tensor
    places: Tensor


def fill_prompt(
    template: str, context: Mapping[str, str], images: Collection[str] = ("image",)
) -> tuple[list[str], list[str]]:
    """The words around the images, one more than these, and the images' names.

    A line that asks for a section or a view that there isn't is left out.
    """
    if template.count("{image}") != 1:
        raise ReportError(f"expected a prompt with one {{image}}, got {template!r}")
    before, after = (_fill(part, context, images) for part in template.split("{image}"))
    return before[0] + after[0], [*before[1], "image", *after[1]]


def _fill(template: str, context: Mapping[str, str], images: Collection[str]) -> tuple[list[str], list[str]]:
    def known(name: str) -> bool:
        return name in images if name in VIEWS else bool(context.get(name))

    lines = [line for line in template.split("\n") if all(known(name) for name in _FIELD.findall(line))]
    words, names = [""], []
    for i, part in enumerate(_FIELD.split("\n".join(lines))):  # words and fields by turns
        if i % 2 and part in VIEWS:
            names.append(part)
            words.append("")
        else:
            words[-1] += " ".join(context[part].split()) if i % 2 else part
    return words, names


def encode(
    tokenizer: Any, words: Sequence[str], report: str | None, places: Sequence[int], images: int, longest: int
) -> Encoded:
    """A prompt, with `images` tokens of an image between each two parts of its words, and a report.

    A report longer than `longest` tokens is cut and then has no end-of-text token, so that no early end is learned.
    """
    ids = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    begins = []
    for i, text in enumerate(words):
        if i:
            begins.append(len(ids))
            ids += [0] * images
        ids += tokenizer(text, add_special_tokens=False)["input_ids"]
    prompt = len(ids)
    if report is not None:
        said = [*tokenizer(report, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        ids += said[:longest]
    return Encoded(ids, begins, prompt, list(places))


def pack(examples: Sequence[Encoded], room: int) -> list[list[Encoded]]:
    """Examples together in rows of at most `room` tokens, each in the first row that has room for it."""
    rows: list[list[Encoded]] = []
    taken: list[int] = []
    for example in examples:
        size = len(example.ids)
        at = next((i for i, used in enumerate(taken) if used + size <= room), len(rows))
        if at == len(rows):
            rows.append([])
            taken.append(0)
        rows[at].append(example)
        taken[at] += size
    return rows


def collate(rows: Sequence[Sequence[Encoded]], images: int, pad: int, *, left: bool = False) -> Batch:
    """Rows of one length, padded at the end, or at the beginning for generation."""
    lengths = [sum(len(example.ids) for example in row) for row in rows]
    ids = torch.full((len(rows), max(lengths)), pad)
    blocks, positions = torch.zeros_like(ids), torch.zeros_like(ids)
    labels, image = torch.full_like(ids, IGNORED), torch.zeros_like(ids, dtype=torch.bool)
    for i, row in enumerate(rows):
        at = max(lengths) - lengths[i] if left else 0
        for block, example in enumerate(row, 1):
            end, prompt = at + len(example.ids), max(1, example.prompt)  # nothing comes before the first token
            ids[i, at:end] = torch.tensor(example.ids)
            blocks[i, at:end], positions[i, at:end] = block, torch.arange(end - at)
            labels[i, at + prompt : end] = torch.tensor(example.ids[prompt:])
            for begin in example.begins:
                image[i, at + begin : at + begin + images] = True
            at = end
    places = torch.tensor([place for row in rows for example in row for place in example.places])
    return Batch(ids, blocks, positions, labels, image, places)


def block_mask(blocks: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention (B, 1, T, T): each token sees those of its own example up to itself."""
    seen = (blocks[:, :, None] == blocks[:, None, :]).tril()
    return torch.zeros(seen.shape, dtype=dtype, device=blocks.device).masked_fill(~seen, torch.finfo(dtype).min)[
        :, None
    ]


def read_tokens(examples: Examples, places: Sequence[int] | NDArray[np.intp] | Tensor) -> Tensor:
    """The image tokens (M, K, D) of some rows of the examples' tokens as float32, on the CPU."""
    rows = np.asarray(places)
    found = np.empty((len(rows), *examples.tokens.shape[1:]), np.float32)
    for i in np.argsort(rows):  # a memory-mapped file is read in its order
        found[i] = examples.tokens[rows[i]]
    return torch.from_numpy(found)
