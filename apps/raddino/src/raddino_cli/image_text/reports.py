"""Reports as numbers: words by their frequency, and where it is wanted a line of who the patient is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PADDING, UNKNOWN = 0, 1
_WORDS = re.compile(r"[a-z]+|\d+")


def words(report: str) -> list[str]:
    """Lower-case words and whole numbers."""
    return _WORDS.findall(report.lower())


def with_patient(report: str, meta: Mapping[str, Any]) -> str:
    """The report under a line that says sex, age, weight and BMI, as far as they are known."""
    numbers = meta["metadata"]
    known = (
        {"F": "Woman.", "M": "Man."}.get(meta["sex"], ""),
        _said("{} years old.", meta["age"]),
        _said("Weight {} kg.", numbers.get("weight_kg")),
        _said("BMI {}.", numbers.get("bmi")),
    )
    return " ".join([*(part for part in known if part), report])


def _said(words_: str, number: float | None) -> str:
    return "" if number is None else words_.format(round(number))


@dataclass(frozen=True)
class Vocabulary:
    """Words by number, from 2 on; 0 is padding, 1 any other word."""

    known: tuple[str, ...]

    @classmethod
    def of(cls, reports: Iterable[str], most: int = 4000) -> Vocabulary:
        """The commonest words; of equally common ones, the first of the alphabet."""
        counts = Counter(word for report in reports for word in words(report))
        return cls(tuple(sorted(counts, key=lambda word: (-counts[word], word))[:most]))

    def __len__(self) -> int:
        return len(self.known) + 2

    def encode(self, reports: Iterable[str], length: int) -> Tensor:
        """Numbers (N, length), cut or padded."""
        places = {word: place for place, word in enumerate(self.known, 2)}
        rows = [[places.get(word, UNKNOWN) for word in words(report)[:length]] for report in reports]
        return torch.tensor([row + [PADDING] * (length - len(row)) for row in rows])
