"""Few-shot curves: models on the same few images, each fit kept in a folder, so that a stopped study goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import raddino_seg
from numpy.typing import NDArray
from raddino_seg import Training

from raddino_cli.console import Progress, say
from raddino_cli.work.features import Features, load_features
from raddino_cli.work.masks import MASK_SIZE, Masked, read_masks
from raddino_cli.work.segmenting import Plan, fit_model, predict_masks, tokens_of
from raddino_cli.work.stages import Stages

MEAN_MASK, ONE_SHOT = "mean-mask", "propagate"
METHODS = ("mean-mask", "propagate", *raddino_seg.DECODERS, "unet")
_PROPAGATED = 20  # images whose tokens are all compared with; more cost time and hardly help


@dataclass(frozen=True)
class Study:
    """What a curve is a function of, besides the data. `shots` 0 is all; `steps` are those of each fit."""

    methods: tuple[str, ...] = ("mean-mask", "propagate", "linear", "upernet", "unet")
    masks: tuple[str, ...] = ("lungs",)
    shots: tuple[int, ...] = (1, 5, 20, 100, 0)
    draws: int = 3
    steps: int = 300
    batch_size: int = 16
    size: int = MASK_SIZE
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in METHODS:
                raise ValueError(f"expected methods of {', '.join(METHODS)}; got {name!r}")
        if min(self.draws, self.steps, self.batch_size) < 1 or min(self.shots) < 0:
            raise ValueError(
                f"expected draws, steps and a batch size of 1 or more, and shots of 1 or more or all: {self}"
            )


def few_shot(
    folder: Path, shards: Path, out: Path, study: Study, *, replicates: int = 1000, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """A row for each method and number of images: `method`, `shots`, `draws` and Dice by structure and "mean".

    The value is the mean over draws on the split test; its interval is over resampled draws and patients. All methods
    learn from the same draws. No fit sees the split val: whoever has few masks has none to choose by.
    """
    features = load_features(folder)
    train = read_masks(shards, features, "train", study.masks, size=study.size)
    test = read_masks(shards, features, "test", study.masks, size=study.size, classes=train.classes)
    patients = features.column("patient")
    people = len(np.unique(patients[train.rows]))
    if large := [shots for shots in study.shots if shots > people]:
        say(f"{', '.join(map(str, large))} shots are left out: the split train has {people} patients with masks")
    facts = {
        **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(study).items()},
        "encoder": features.encoder,
    }
    stages = Stages(out, "few-shot", facts)
    fits = [
        (method, shots, draw, rows)
        for shots in study.shots
        if shots <= people
        for draw, rows in enumerate(
            raddino_seg.draw_shots(patients[train.rows], shots or None, study.draws, study.seed)
        )
        for method in study.methods
    ]
    found: dict[tuple[str, int], list[Any]] = {}
    for done, (method, shots, draw, rows) in enumerate(fits, 1):
        work = partial(_dice, features, take(train, rows), test, method, study, draw)
        values = stages.run(f"{method}-{shots or 'all'}-{draw}", work)
        found.setdefault((method, shots), []).append(np.array(values, dtype=float))
        if progress:
            progress(done, len(fits))
    return [
        {"method": method, "shots": shots or len(train.rows), "draws": len(draws), "scores": {
            name: vars(score) for name, score in raddino_seg.summarise(
                np.stack(draws), train.classes, patients[test.rows], replicates=replicates
            ).items()
        }}
        for (method, shots), draws in found.items()
    ]  # fmt: skip


def _dice(features: Features, few: Masked, test: Masked, method: str, study: Study, draw: int) -> list[list[float]]:
    """Dice of each test image and structure after a fit on a few images."""
    if method == MEAN_MASK:
        prediction = np.repeat(raddino_seg.mean_mask(few.masks)[None], len(test.masks), axis=0)
    elif method == ONE_SHOT:
        some = take(few, np.arange(min(len(few.rows), _PROPAGATED)))
        prediction = raddino_seg.propagate(
            tokens_of(features, some.rows), some.masks, tokens_of(features, test.rows),
            classes=few.classes, size=(study.size, study.size),
        )  # fmt: skip
    else:
        batches = -(-len(few.rows) // study.batch_size)
        training = Training(-(-study.steps // batches), study.batch_size, seed=study.seed + draw)
        plan = Plan(method, study.masks, study.size, training=training)
        prediction = predict_masks(fit_model(features, few, None, plan), features, test)
    found: NDArray[np.float64] = raddino_seg.measure("dice", prediction, test.masks, few.classes)
    return found.tolist()  # type: ignore[no-any-return]


def take(data: Masked, rows: NDArray[np.intp]) -> Masked:
    """Some of the images."""
    return replace(
        data,
        rows=data.rows[rows],
        samples=[data.samples[row] for row in rows],
        masks=data.masks[rows],
        spacing=[data.spacing[row] for row in rows],
    )


def words_of(shots: Sequence[str]) -> tuple[int, ...]:
    """Numbers of images out of words such as 1, 5, all.

    Raises:
        ValueError: another word.
    """
    try:
        found = tuple(0 if word == "all" else int(word) for word in shots)
    except ValueError as error:
        raise ValueError(f"--shots: expected numbers such as 1,5,20,all; got {','.join(shots)!r}") from error
    if any(count < 1 for count, word in zip(found, shots, strict=True) if word != "all"):
        raise ValueError(f"--shots: expected numbers of 1 or more, or all; got {','.join(shots)!r}")
    return found
