"""What a run of pre-training will cost, from its configuration and a table of accelerators; nothing is run.

Every figure is arithmetic on `ssl_core.step_flops` and `ssl_core.step_memory`, which tests compare with what torch
counts. What can't be counted, the share of a card's peak that is reached, is `UTILISATION`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import ssl_core

from raddino_cli.work.gpus import GPUS, Gpu, find_gpu

UTILISATION = 0.27
"""Share of the peak that brings five published runs within 35 % of their times: `docs/plan.md` has the table."""

USABLE = 0.92
"""Of a card's memory: the rest is CUDA's context, NCCL's buffers and what the allocator can't put together."""

Size = int | tuple[int, int, int]

_FULL = 4  # bytes of float32, in which weights are gathered and gradients summed
_UPDATE = 40  # bytes moved for each weight: AdamW reads 4 numbers and writes 3, the teacher reads 2 and writes 1
_ASPECT = 1.2  # long side of a radiograph over its short side
_STORED = 2  # bytes of a stored pixel: 16 bit, PNG without compression
# Seconds of one core: to read a stored pixel, 6.5 ms for a PNG of 518 x 630; to make one of a view, assumed.
# `python -m tools.bench crops` tells both of a machine.
_READ, _VIEW = 2.0e-8, 5.0e-8


@dataclass(frozen=True)
class Request:
    """What is to be planned; `link` in bytes a second and `price` of a GPU hour where they are known."""

    config: ssl_core.Config
    gpu: str
    gpus: int
    images: int
    utilisation: float = UTILISATION
    link: float | None = None
    price: float | None = None

    def __post_init__(self) -> None:
        train = self.config.train
        if train.precision != "bfloat16":
            raise ValueError(f"expected train.precision=bfloat16, which peaks are of; got {train.precision}")
        if self.config.lora.rank or self.config.loss.gram_weight:
            raise ValueError("expected lora.rank and loss.gram_weight of 0: plans don't know adapters and anchors yet")
        if not 0 < self.utilisation <= 1:
            raise ValueError(f"--utilisation: expected a share above 0 and up to 1, got {self.utilisation:g}")
        if train.batch_size % (self.gpus * train.accumulate):
            raise ValueError(
                f"expected train.batch_size to be a multiple of {self.gpus} GPUs times train.accumulate = "
                f"{train.accumulate}, got {train.batch_size}; set it, or change --gpus"
            )

    @property
    def card(self) -> Gpu:
        """The accelerator."""
        return find_gpu(self.gpu)

    @property
    def micro_batch(self) -> int:
        """Images of a card at a time."""
        return self.config.train.batch_size // (self.gpus * self.config.train.accumulate)

    def change(self, **train: object) -> Request:
        """The same with other keys of `train`."""
        settings = dataclasses.replace(self.config.train, **train)  # type: ignore[arg-type]
        return dataclasses.replace(self, config=dataclasses.replace(self.config, train=settings))


@dataclass(frozen=True)
class Phase:
    """Steps that are alike; sizes in bytes, times in seconds of a step."""

    steps: int
    flops_per_image: dict[str, float]
    tokens: dict[str, int]
    memory: dict[str, float]
    compute: float
    update: float
    communication: float
    loader_cores: float

    @property
    def seconds(self) -> float:
        """Of a step, when sending goes on beside computing."""
        return max(self.compute + self.update, self.communication)

    @property
    def limit(self) -> str:
        """What a faster one of would shorten the step."""
        return "communication" if self.communication > self.compute + self.update else "compute"


@dataclass(frozen=True)
class Plan:
    """The bill."""

    parameters: dict[str, int]
    phases: list[Phase]
    kept: dict[str, float]
    """Memory by part when activations are kept for the backward pass ..."""
    recomputed: dict[str, float]
    """... and when they are computed again."""
    usable: float
    largest_batch: dict[str, int]
    """Images of a card at a time that fit, of both."""
    traffic: dict[str, float]
    """Bytes that a card sends in a step, by `train.parallel`."""
    link: float
    images_per_second: float
    hours: float
    gpu_hours: float
    passes: float
    kwh: float
    cost: float | None
    shard_bytes: float
    changes: list[tuple[str, float, bool]]
    """Where it doesn't fit: what to change, the memory with it, and whether that fits."""

    @property
    def peak(self) -> float:
        """Bytes of a card, in the phase that needs most."""
        return max(phase.memory["total"] for phase in self.phases)

    @property
    def fits(self) -> bool:
        """Whether a card holds its part."""
        return self.peak <= self.usable


def plan(request: Request) -> Plan:
    """The bill of a run."""
    config, card = request.config, request.card
    train = config.train
    large = min(config.high_res.steps, train.steps)
    spans = [(step, count) for step, count in ((0, train.steps - large), (train.steps - 1, large)) if count]
    phases = [_phase(request, step, count) for step, count in spans]
    seconds = sum(phase.steps * phase.seconds for phase in phases)
    hours = seconds / 3600
    heaviest = max(spans, key=lambda span: _memory(request, span[0])["total"])[0]
    both = {
        name: request.change(activation_checkpointing=again) for name, again in (("kept", False), ("recomputed", True))
    }
    usable = USABLE * card.memory
    fits = _memory(request, heaviest)["total"] <= usable
    return Plan(
        parameters=ssl_core.parameter_counts(config),
        phases=phases,
        kept=_memory(both["kept"], heaviest),
        recomputed=_memory(both["recomputed"], heaviest),
        usable=usable,
        largest_batch={name: _largest(asked, heaviest, usable) for name, asked in both.items()},
        traffic=traffic(request),
        link=_link(request),
        images_per_second=train.steps * train.batch_size / seconds,
        hours=hours,
        gpu_hours=hours * request.gpus,
        passes=train.steps * train.batch_size / request.images,
        kwh=card.watts * hours * request.gpus / 1e3,
        cost=None if request.price is None else request.price * hours * request.gpus,
        shard_bytes=request.images * _stored_pixels(config) * _STORED,
        changes=[] if fits else _changes(request, heaviest, usable),
    )


def compute_seconds(config: ssl_core.Config, step: int, peak: float) -> float:
    """Of a step on one card that reaches `peak` operations a second, recomputed activations included."""
    flops = ssl_core.step_flops(config, step)
    again = (flops["student_global"] + flops["student_local"]) / 3 if config.train.activation_checkpointing else 0.0
    return (flops["total"] + again) / peak


def traffic(request: Request) -> dict[str, float]:
    """Bytes that each card sends in a step: a ring of DDP sums gradients; FSDP gathers blocks for every pass."""
    config, gpus = request.config, request.gpus
    counts = ssl_core.parameter_counts(config)
    every = counts["backbone"] + counts["heads"]
    blocks = config.model.depth * counts["block"]
    passes = 2 if config.crops.local_count else 1  # the student's, global and local crops; each forward and backward
    gathers = blocks * (1 + 2 * passes) + 2 * (every - blocks)
    ring = _FULL * (gpus - 1) / gpus
    scatters = passes * blocks + every - blocks
    return {"ddp": ring * 2 * every, "fsdp": ring * (config.train.accumulate * gathers + scatters)}


def _phase(request: Request, step: int, steps: int) -> Phase:
    config, card, gpus = request.config, request.card, request.gpus
    counts = ssl_core.parameter_counts(config)
    flops = ssl_core.step_flops(config, step)
    batch = config.train.batch_size
    compute = compute_seconds(config, step, gpus * card.flops * request.utilisation)
    held = counts["backbone"] + counts["heads"]
    update = _UPDATE * held / (gpus if config.train.parallel == "fsdp" else 1) / card.bandwidth
    communication = traffic(request)[config.train.parallel] / _link(request)
    crops = config.crops_at(step)
    views = 2 * _pixels(crops.global_size) + crops.local_count * _pixels(crops.local_size)
    spent = batch * (_READ * _stored_pixels(config) + _VIEW * views)
    return Phase(
        steps=steps,
        flops_per_image={name: value / batch for name, value in flops.items()},
        tokens=_tokens(config, step),
        memory=_memory(request, step),
        compute=compute,
        update=update,
        communication=communication,
        loader_cores=spent / gpus / max(compute + update, communication),
    )


def _memory(request: Request, step: int) -> dict[str, float]:
    return ssl_core.step_memory(request.config, request.gpus, step)


def _link(request: Request) -> float:
    card = request.card
    return request.link or (card.link if request.gpus <= card.node else card.network)


def _pixels(size: Size) -> int:
    return size**2 if isinstance(size, int) else math.prod(size)


def _stored_pixels(config: ssl_core.Config) -> float:
    """Of an image in the shards: its short side is that of the largest crop; a volume is stored at the crop's size."""
    largest = max((config.crops_at(step).global_size for step in (0, config.train.steps - 1)), key=_pixels)
    return _pixels(largest) * (_ASPECT if isinstance(largest, int) else 1.0)


def _tokens(config: ssl_core.Config, step: int) -> dict[str, int]:
    """Of a step of the whole batch: through the teacher, and the student's global and local crops."""
    crops, model, batch = config.crops_at(step), config.model, config.train.batch_size

    def of(size: Size) -> int:
        return _pixels(size) // _pixels(model.patch_size) + 1 + model.registers

    seen = 2 * batch * of(crops.global_size)
    return {"teacher": seen, "student_global": seen, "student_local": batch * crops.local_count * of(crops.local_size)}


def _largest(request: Request, step: int, usable: float) -> int:
    """The most images of a card at a time that fit, by bisection; 0 where not one does."""

    # KoLeo refuses a batch of one image; its memory is nothing here.
    loss = dataclasses.replace(request.config.loss, koleo_weight=0.0)
    plain = dataclasses.replace(request, config=dataclasses.replace(request.config, loss=loss))

    def fits(images: int) -> bool:
        asked = plain.change(batch_size=images * request.gpus * request.config.train.accumulate)
        return _memory(asked, step)["total"] <= usable

    least, most = 0, 1
    while fits(most) and most < 1 << 16:
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    return least


def _changes(request: Request, step: int, usable: float) -> list[tuple[str, float, bool]]:
    """What would need less memory, the gentlest first, each alone and then together."""
    train = request.config.train
    asked: list[tuple[str, Request]] = []
    if not train.activation_checkpointing:
        asked.append(("--set train.activation_checkpointing=true", request.change(activation_checkpointing=True)))
    for parts in (p for p in range(2, request.micro_batch + 1) if request.micro_batch % p == 0):
        more = request.change(accumulate=parts * train.accumulate)
        asked.append((f"--set train.accumulate={parts * train.accumulate}", more))
        if _memory(more, step)["total"] <= usable:
            break
    if train.parallel == "ddp" and request.gpus > 1:
        asked.append(("--set train.parallel=fsdp", request.change(parallel="fsdp")))
    if train.parallel == "ddp" and not train.activation_checkpointing and request.gpus > 1:
        asked.append(
            (
                "--set train.parallel=fsdp --set train.activation_checkpointing=true",
                request.change(parallel="fsdp", activation_checkpointing=True),
            )
        )
    for times in (2, 4, 8):
        if request.micro_batch % times == 0:
            more = dataclasses.replace(request, gpus=request.gpus * times)
            asked.append((f"--gpus {more.gpus}", more))
    found = [(words, _memory(more, step)["total"]) for words, more in asked]
    now = _memory(request, step)["total"]
    rows = [(words, need, need <= usable) for words, need in found if need < now]
    larger = [name for name, card in GPUS.items() if USABLE * card.memory >= now]
    return rows + [(f"--gpu {name}", now, True) for name in larger]
