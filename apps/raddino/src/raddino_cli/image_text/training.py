"""Training on pairs: images, views, encoder, steps and schedule of a recipe, with reports in place of a teacher."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ssl_core
import torch
from torch import Tensor

from raddino_cli.console import Progress
from raddino_cli.image_text.model import ImageText, TextEncoder
from raddino_cli.image_text.reports import Vocabulary, with_patient
from raddino_cli.work.features import NothingToMeasureError, read_split
from raddino_cli.work.images import Chosen, is_chosen, square
from raddino_cli.work.leaks import write_training_list
from raddino_cli.work.stages import write_text

_VIEWS = 2
_WHITENED = 512  # images, as ssl_core takes them


@dataclass(frozen=True)
class Pairs:
    """How pairs are learnt from, besides what the recipe says of encoder, views, steps and precision."""

    batch_size: int
    learning_rate: float
    """At its peak."""
    temperature: float
    """At the start; it is learned."""
    mentions: bool
    """Whether reports say sex, age, weight and BMI."""
    width: int
    layers: int
    shared: int
    """Dimensions of the space in which both meet."""
    length: int
    """Words of a report that are read."""


def step_flops(config: ssl_core.Config, pairs: Pairs) -> float:
    """Of one step, counted as ssl_core counts: forward and backward of all views and reports."""
    image = _VIEWS * ssl_core.encoder_flops(config.model, config.crops.global_size)
    tokens, width = pairs.length, pairs.width
    text = pairs.layers * (24 * tokens * width**2 + 4 * tokens**2 * width)
    return 3.0 * pairs.batch_size * (image + text)


def train(
    shards: Path,
    out: Path,
    config: ssl_core.Config,
    pairs: Pairs,
    *,
    share: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Train on the images of the split train that have a report; goes on from a checkpoint, exactly.

    Writes `encoder/` as self-distillation does, `metrics.jsonl`, `training.csv` and `image-text.json`, the settings.

    Raises:
        NothingToMeasureError: no image has a report.
    """
    images, numbers, vocabulary = _read(shards, pairs, share)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "image-text.json", json.dumps(asdict(pairs) | {"recipe": asdict(config)}, indent=1) + "\n")
    write_training_list(shards, out, Chosen(share), needs_report=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = _build(config, pairs, vocabulary, images).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.optim.weight_decay, betas=(0.9, 0.98))
    checkpoint, log, steps = out / "checkpoint.pt", out / "metrics.jsonl", config.train.steps
    first = _load(checkpoint, model, optimiser) if checkpoint.exists() else 0
    _cut(log, first)
    for step in range(first, steps):
        rows = _rows(config, pairs, len(images), step)
        views = _views(config, [images[row] for row in rows], step)
        for group in optimiser.param_groups:
            group["lr"] = _rate(config, pairs, step)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((config.train.seed << 32) + step)  # drop path
            found = _optimise(model, optimiser, config, views.to(device), numbers[rows].to(device))
        last = step + 1 == steps
        if (step + 1) % config.train.log_every == 0 or last:
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step + 1} | {key: value.item() for key, value in found.items()}) + "\n")
        if (step + 1) % config.train.checkpoint_every == 0 or last:
            _save(checkpoint, model, optimiser, step + 1)
        if progress:
            progress(step + 1, steps)
    ssl_core.save_encoder(model.image, config.crops, out / "encoder")


def _optimise(
    model: ImageText, optimiser: torch.optim.Optimizer, config: ssl_core.Config, views: Tensor, numbers: Tensor
) -> dict[str, Tensor]:
    """One step."""
    with torch.autocast(views.device.type, torch.bfloat16, enabled=config.train.precision == "bfloat16"):
        loss, right = model(views, numbers)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip)
    optimiser.step()
    return {"loss": loss, "accuracy": right, "temperature": (-model.scale).exp()}


def _cut(log: Path, step: int) -> None:
    """Leave out what was written after the checkpoint, by a process that was killed."""
    lines = log.read_text("utf-8").splitlines(keepends=True) if log.exists() else []
    write_text(log, "".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step))


def _read(shards: Path, pairs: Pairs, share: float) -> tuple[list[Tensor], Tensor, Vocabulary]:
    images, reports = [], []
    for sample in read_split(shards, "train"):
        if sample.report and is_chosen(sample.meta["patient"], share):
            images.append(torch.from_numpy(np.ascontiguousarray(square(sample.image)))[None])
            reports.append(with_patient(sample.report, sample.meta) if pairs.mentions else sample.report)
    if not images:
        raise NothingToMeasureError(f"expected images with reports in the split train of {shards}, found none")
    vocabulary = Vocabulary.of(reports)
    return images, vocabulary.encode(reports, pairs.length), vocabulary


def _build(config: ssl_core.Config, pairs: Pairs, vocabulary: Vocabulary, images: list[Tensor]) -> ImageText:
    """With the same weights at the start as a student of the same seed, but for a whitening of other views."""
    image: Any = ssl_core.build(config).student.backbone
    if config.model.whitening:
        crops = torch.cat([_views(config, images[i : i + 64], i) for i in range(0, min(len(images), _WHITENED), 64)])
        chance = torch.Generator().manual_seed(config.train.seed)
        ssl_core.whiten_patch_embed(image.patch_embed, crops, config.model.whitening, chance)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        text = TextEncoder(len(vocabulary), pairs.width, pairs.layers, pairs.length)
        return ImageText(image, text, pairs.width, pairs.shared, pairs.temperature)


def _rows(config: ssl_core.Config, pairs: Pairs, total: int, step: int) -> list[int]:
    """The pairs of a step: every one is drawn once before any is drawn again."""
    found, orders = [], {}
    for position in range(step * pairs.batch_size, (step + 1) * pairs.batch_size):
        epoch, place = divmod(position, total)
        if epoch not in orders:
            orders[epoch] = np.random.default_rng((config.train.seed, 1, epoch)).permutation(total)
        found.append(int(orders[epoch][place]))
    return found


def _views(config: ssl_core.Config, images: list[Tensor], step: int) -> Tensor:
    """Two global views of each image, view-major."""
    chance = torch.Generator().manual_seed((config.train.seed << 32) + step)
    crops = dataclasses.replace(config.crops, local_count=0)
    views: Tensor = ssl_core.make_crops([ssl_core.to_unit(image) for image in images], crops, chance)[0]
    return views


def _rate(config: ssl_core.Config, pairs: Pairs, step: int) -> float:
    warmup, total = config.optim.warmup, config.train.steps
    return ssl_core.cosine_schedule(
        step, base=pairs.learning_rate, final=config.optim.min_lr, total=total, warmup=min(warmup, total // 2)
    )


def _save(path: Path, model: ImageText, optimiser: torch.optim.Optimizer, step: int) -> None:
    part = path.with_name(path.name + ".part")
    torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _load(path: Path, model: ImageText, optimiser: torch.optim.Optimizer) -> int:
    found = torch.load(path, weights_only=True, map_location="cpu")
    model.load_state_dict(found["model"])
    optimiser.load_state_dict(found["optimiser"])
    return int(found["step"])
