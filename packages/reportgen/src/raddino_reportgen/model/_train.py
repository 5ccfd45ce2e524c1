"""Training that goes on exactly where it stopped: what a step sees follows from seed and step alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError
from raddino_reportgen.model._data import IGNORED, Examples, read_tokens
from raddino_reportgen.model._recipe import Recipe, as_dict
from raddino_reportgen.model._reporter import Reporter, on_device

Progress = Callable[[int, int], None]
_CHECKPOINT = "checkpoint.pt"


def train(
    reporter: Reporter, examples: Examples, out: str | Path, *, device: str = "cpu", progress: Progress | None = None
) -> Reporter:
    """Train by the reporter's recipe and save it in `out/reporter`; a run that stopped goes on from its checkpoint.

    Writes `metrics.jsonl` (step, loss in nats a token, lr) and `checkpoint.pt`. A folder of another recipe is a
    `ReportError`. Gradients are summed over `accumulate` batches and divided by their reports' tokens.
    """
    recipe, folder = reporter.recipe, Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    reporter.to(device).train()
    weights = [p for p in reporter.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.95))
    step = _resume(folder, reporter, optimizer)
    order = _batches(len(examples.reports), recipe, step)
    while step < recipe.steps:
        lr = learning_rate(recipe, step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        torch.manual_seed(recipe.seed * 1_000_003 + step)  # dropout, where the language model has it
        loss = _step(reporter, examples, next(order), torch.device(device))
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        _note(folder, {"step": step, "loss": loss, "lr": lr})
        if step % recipe.checkpoint_every == 0 or step == recipe.steps:
            _save(folder, reporter, optimizer, step)
        if progress:
            progress(step, recipe.steps)
    reporter.save(folder / "reporter")
    return reporter.eval()


@torch.inference_mode()
def perplexity(reporter: Reporter, examples: Examples, *, batch_size: int = 32) -> float:
    """The exponential of the mean cross-entropy of the reports' tokens, the end of text included."""
    device = next(reporter.parameters()).device
    reporter.eval()
    total, count = 0.0, 0
    for start in range(0, len(examples.reports), batch_size):
        rows = np.arange(start, min(start + batch_size, len(examples.reports)))
        batch = on_device(reporter.batch(examples, rows, written=True), device)
        total += float(reporter(read_tokens(examples, batch.places.cpu()).to(device), batch))
        count += int((batch.labels != IGNORED).sum())
    return math.exp(total / count)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear up to the highest rate over `warmup` steps, then half a cosine down to 0."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    share = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _batches(count: int, recipe: Recipe, step: int) -> Iterator[list[NDArray[np.intp]]]:
    """The rows of each step's batches from `step` on: epochs of permutations, laid end to end."""
    size = recipe.batch_size * recipe.accumulate

    def rows_of(step: int) -> NDArray[np.intp]:
        places = np.arange(step * size, (step + 1) * size)
        epochs = {
            e: np.random.default_rng((recipe.seed, int(e))).permutation(count) for e in np.unique(places // count)
        }
        return np.array([epochs[p // count][p % count] for p in places])

    while True:
        yield np.split(rows_of(step), recipe.accumulate)
        step += 1


def _step(reporter: Reporter, examples: Examples, parts: list[NDArray[np.intp]], device: torch.device) -> float:
    """Gradients of the mean loss a token over all parts; returns that loss."""
    batches = [on_device(reporter.batch(examples, rows, written=True), device) for rows in parts]
    count = sum(int((batch.labels != IGNORED).sum()) for batch in batches)
    total = 0.0
    half = reporter.recipe.precision == "bfloat16"
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = reporter(read_tokens(examples, batch.places.cpu()).to(device), batch) / count
        loss.backward()
        total += float(loss.detach())
    return total


def _save(folder: Path, reporter: Reporter, optimizer: torch.optim.Optimizer, step: int) -> None:
    trained = {name for name, p in reporter.named_parameters() if p.requires_grad}
    weights = {name: value for name, value in reporter.state_dict().items() if name in trained | {"mean", "scale"}}
    state = {"step": step, "recipe": as_dict(reporter.recipe), "weights": weights, "optimizer": optimizer.state_dict()}
    part = folder / (_CHECKPOINT + ".part")
    torch.save(state, part)
    part.replace(folder / _CHECKPOINT)


def _resume(folder: Path, reporter: Reporter, optimizer: torch.optim.Optimizer) -> int:
    path = folder / _CHECKPOINT
    if not path.exists():
        (folder / "metrics.jsonl").unlink(missing_ok=True)
        return 0
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    wanted = as_dict(reporter.recipe)
    for key, value in wanted.items():
        if state["recipe"].get(key) != value:
            raise ReportError(
                f"{folder} was begun with {key} {state['recipe'].get(key)!r}, and now it is {value!r}; choose another "
                "folder"
            )
    reporter.load_state_dict(state["weights"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    kept = (folder / "metrics.jsonl").read_text().splitlines()[: state["step"]]
    (folder / "metrics.jsonl").write_text("".join(line + "\n" for line in kept))
    return int(state["step"])


def _note(folder: Path, facts: dict[str, Any]) -> None:
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")
