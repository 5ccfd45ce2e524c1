"""Which images a few-shot curve learns from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raddino_seg._errors import SegError

SHOTS = (1, 5, 20, 100, None)
"""Images of a curve; None is all."""


def draw_shots(patients: ArrayLike, shots: int | None, draws: int, seed: int = 0) -> list[NDArray[np.intp]]:
    """For each draw the rows of one image each of `shots` patients drawn at random; of None, all rows, once.

    The same seed gives the same draws, so that methods are compared on the same images.

    Raises:
        SegError: fewer patients than shots, numbers below 1.
    """
    who = np.asarray(patients)
    if shots is None:
        return [np.arange(len(who))]
    people = np.unique(who)
    if draws < 1 or not 1 <= shots <= len(people):
        raise SegError(
            f"expected at least one draw, and shots from 1 to the {len(people)} patients in train; got {draws} draws "
            f"of {shots}"
        )
    found = []
    for draw in range(draws):
        rng = np.random.default_rng((seed, shots, draw))
        chosen = rng.choice(people, shots, replace=False)
        found.append(np.array([rng.choice(np.flatnonzero(who == patient)) for patient in chosen]))
    return found
