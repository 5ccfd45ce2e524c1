"""Was an encoder trained on the images that it is tested on?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raddino_probes._errors import ProbeError


@dataclass(frozen=True)
class Overlap:
    """Identifiers that a training list and a test set share."""

    shared: tuple[str, ...]
    """In order of the alphabet."""
    training: int
    """Different identifiers in the training list."""
    test: int
    """Different identifiers in the test set."""

    def __str__(self) -> str:
        if not self.shared:
            return f"none of {self.test} test identifiers is among {self.training} of training"
        some = ", ".join(self.shared[:5]) + (", ..." if len(self.shared) > 5 else "")
        share = 100 * len(self.shared) / self.test
        return f"{len(self.shared)} of {self.test} test identifiers ({share:.1f} %) are among those of training: {some}"


def find_overlap(training: Iterable[object], test: Iterable[object]) -> Overlap:
    """Which identifiers (of images, studies or patients: the same kind in both) are in both lists.

    They are compared as text without the blanks around it; repeats count once. Different data sets may use the same
    numbers: put the data set's name before them.

    Raises:
        ProbeError: a list without identifiers.
    """
    lists = {}
    for name, identifiers in (("training", training), ("test", test)):
        lists[name] = {str(identifier).strip() for identifier in identifiers} - {""}
        if not lists[name]:
            raise ProbeError(f"expected identifiers in the {name} list, got none; nothing was checked")
    shared = tuple(sorted(lists["training"] & lists["test"]))
    return Overlap(shared, len(lists["training"]), len(lists["test"]))
