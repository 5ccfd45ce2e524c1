"""The one loop in which every model learns: AdamW, a cosine, the best epoch by validation Dice, checkpoints."""

from __future__ import annotations

import copy
import functools
import math
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raddino_seg._augment import Augment
from raddino_seg._errors import SegError
from raddino_seg._files import read_tensors, write_tensors
from raddino_seg._levels import upsample
from raddino_seg._losses import class_weights, make_loss
from raddino_seg._masks import Masks, check_every_class, check_masks, overlapping
from raddino_seg._measure import measure
from raddino_seg._model import Model

Progress = Callable[[int, int], None]
Validation = tuple[Any, Masks]


@dataclass(frozen=True)
class Training:
    """How a model learns. The same settings and data give the same weights on one machine."""

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float | None = None
    """At the start; falls to 0 along a cosine. None: 0.01 for the linear decoder, 0.001 for the others."""
    weight_decay: float = 1e-4
    loss: str = ""
    """As `make_loss` takes it. Empty: "ce+dice", or "bce+dice" where structures overlap."""
    balance: bool = False
    """Whether rare classes weigh more in the pixel losses, for structures that are a few pixels wide."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise SegError(
                f"expected at least one epoch and one image a batch, got {self.epochs} and {self.batch_size}"
            )


def fit(
    model: Model,
    inputs: Tensor,
    masks: Masks,
    training: Training,
    *,
    validation: Validation | None = None,
    augment: Augment | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Train a model in place on checked inputs (N, ...) and their masks.

    With `validation`, the weights of the epoch with the best mean Dice are kept. With `checkpoint`, a file that is
    replaced after each epoch, a fit that was stopped goes on when it is called again, and ends with the same weights.

    Raises:
        SegError: masks that don't fit, a checkpoint of other settings or data.
    """
    check_pair(len(inputs), masks, model.classes)
    check_every_class(masks, model.classes)
    run = _Run(model, training, _facts(model, inputs, masks, training, augment), checkpoint)
    loss = make_loss(
        training.loss or ("bce+dice" if model.overlapping else "ce+dice"),
        overlap=model.overlapping,
        weights=class_weights(masks, len(model.classes)).to(run.device) if training.balance else None,
    )
    batches = math.ceil(len(inputs) / training.batch_size)
    for epoch in range(run.resume(), training.epochs):
        model.train()
        # Seeded by the epoch, so that what comes after a stop is what would have come.
        with torch.random.fork_rng():
            torch.manual_seed(training.seed * 1_000_003 + epoch)
            for number, rows in enumerate(torch.split(torch.randperm(len(inputs)), training.batch_size)):
                truth = torch.from_numpy(np.ascontiguousarray(masks[rows.numpy()]))
                truth = truth.to(run.device) if overlapping(masks) else truth.to(run.device, torch.long)
                batch = inputs[rows].to(run.device)
                if augment:
                    batch, truth = augment(batch, truth)
                logits = upsample(model(batch), (masks.shape[-2], masks.shape[-1]))
                run.step(loss(logits, truth), (epoch * batches + number) / (training.epochs * batches))
        if validation is not None:
            run.judge(mean_dice(model, *validation))
        run.save(epoch + 1)
        if progress:
            progress(epoch + 1, training.epochs)
    run.finish()


def check_pair(count: int, masks: Masks, classes: tuple[str, ...]) -> None:
    """Refuse masks that aren't one an image, or aren't masks of these classes.

    Raises:
        SegError: as it says.
    """
    check_masks(masks, classes)
    if count != len(masks):
        raise SegError(f"expected a mask for each of {count} images, got {len(masks)}; leave out what has none")


def mean_dice(model: Model, inputs: Any, masks: Masks) -> float:
    """Mean of every Dice there is of a model's predictions, 0 if there is none."""
    check_pair(len(inputs), masks, model.classes)
    prediction = model.predict(inputs, (masks.shape[-2], masks.shape[-1]))
    each = measure("dice", prediction, masks, model.classes)
    return float(np.nanmean(each)) if (~np.isnan(each)).any() else 0.0


class _Run:
    """The state of a fit that a checkpoint holds: weights, optimiser, the best epoch so far."""

    def __init__(self, model: Model, training: Training, facts: dict[str, Any], checkpoint: Path | None) -> None:
        self.model, self.facts, self.checkpoint = model, facts, checkpoint
        self.device = next(model.parameters()).device
        groups = model.groups(training.learning_rate or model.learning_rate)
        self.optimiser = torch.optim.AdamW(groups, weight_decay=training.weight_decay)
        self.best, self.best_state = -1.0, dict[str, Tensor]()

    def step(self, loss: Tensor, done: float) -> None:
        """One step at the rate that belongs to the share of the training that is done."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * (1 + math.cos(math.pi * done)) / 2
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def judge(self, score: float) -> None:
        """Keep these weights if there were no better ones."""
        if score > self.best:
            self.best, self.best_state = score, copy.deepcopy(self.model.state_dict())

    def finish(self) -> None:
        """The best weights, ready to predict."""
        if self.best_state:
            self.model.load_state_dict(self.best_state)
        self.model.eval()

    def save(self, epoch: int) -> None:
        """Write a checkpoint, if one is wanted."""
        if self.checkpoint is None:
            return
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best_state.items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        write_tensors(self.checkpoint, tensors, {"epoch": epoch, "best": self.best, **self.facts})

    def resume(self) -> int:
        """Take up a checkpoint, if there is one; the epochs that are done."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return 0
        tensors, facts = read_tensors(self.checkpoint)
        epoch, self.best = int(facts.pop("epoch", 0)), float(facts.pop("best", -1.0))
        for name in sorted({*facts, *self.facts}):
            if facts.get(name) != self.facts.get(name):
                raise SegError(
                    f"{self.checkpoint} was begun with {name} {facts.get(name)}, and now {name} is "
                    f"{self.facts.get(name)}; delete it to start over"
                )
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimiser": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.model.load_state_dict(parts["model"])
        self.best_state = parts["best"]
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimiser"].items():
            number, _, key = name.partition(".")
            states.setdefault(int(number), {})[key] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": states})
        return epoch


def _facts(model: Model, inputs: Tensor, masks: Masks, training: Training, augment: Augment | None) -> dict[str, Any]:
    """What a checkpoint belongs to, as JSON gives it back."""
    described = {name: list(value) if isinstance(value, tuple) else value for name, value in model.describe().items()}
    return {
        "kind": model.kind,
        "classes": list(model.classes),
        "model": described,
        "training": asdict(training),
        "augment": asdict(augment) if augment else None,
        "inputs": list(inputs.shape),
        "masks": functools.reduce(lambda crc, mask: zlib.crc32(mask.tobytes(), crc), masks, 0),
    }
