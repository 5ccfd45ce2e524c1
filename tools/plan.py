"""What runs cost on paper, as `docs/plan.md`: `python -m tools.plan`."""

from __future__ import annotations

from pathlib import Path

import ssl_core
from raddino_cli.work.gpus import GPUS
from raddino_cli.work.planning import USABLE, UTILISATION, Plan, Request, plan
from raddino_cli.work.published import PUBLISHED

PAGE = Path(__file__).resolve().parents[1] / "docs" / "plan.md"
IMAGES = 882_775
_LARGE = ("crops.global_size=224", "crops.local_size=98", "model.ffn=swiglu", "train.steps=100000")
# Billions of weights: the shape, and cards.
SIZES = {
    "0.3": (("model.embed_dim=1024", "model.depth=24", "model.num_heads=16"), 32),
    "1": (("model.embed_dim=1536", "model.depth=40", "model.num_heads=24"), 64),
    "7": (("model.embed_dim=4096", "model.depth=40", "model.num_heads=32", "model.mlp_ratio=3"), 256),
    "20": (("model.embed_dim=6144", "model.depth=44", "model.num_heads=48"), 512),
}

TEXT = """# What a run costs

`raddino plan` computes it without running anything. This page is made by

```
.venv/bin/python -m tools.plan
```

## What is counted and what is assumed

- FLOPs are those of matrix products, within 2 % of what torch counts (`test_sslcore_steps.py` in ssl-core's tests).
  Memory is within 10 % of the peak that the same step reaches on torch's fake tensors, which know their size and hold
  nothing (`test_sslcore_step_memory.py`).
- Memory is that of blocks which are not compiled; compiled ones keep less. {usable:.0%} of a card can be used: the rest
  is CUDA's context, NCCL's buffers and what the allocator can't put together. That share is an assumption.
- Sending goes on beside computing, all of it: the larger of the two is a step's time. What FSDP sends is counted for
  this trainer, which gathers float32 weights for each pass; it has not been measured on a cluster.
- Peaks, memory, links and watts are the vendors' (`apps/raddino/src/raddino_cli/work/gpus.py`). Energy is that of the
  boards at their limit, without hosts and cooling.

## Published runs and the utilisation

One figure, {utilisation:.0%} of the peak in bfloat16, brings all of them within 35 % of the hours that were published:

{published}

Hours are of the whole run; "reached" is the share of the peak that would give them exactly. What to know:

- DINOv3's 7B run computed its blocks in fp8, whose peak is twice that of bfloat16, and is planned so. Taken as a run in
  bfloat16 it reached {seven:.0%}, and the plan would be {seven_ratio:.1f} times too long. Its hours are those of the
  model's training as a whole; its steps are counted as those of its first stage, the longest.
- RAD-DINO's card does not say whether its 40 hours are of the 100,000 steps of the run or of the 35,000 that were used.
  They are read as the former here; as the latter, {short:.0%} was reached, and the plan would be {short_ratio:.2f} of
  the published time. The size of its local crops is not in the card either; 196 pixels is this recipe's choice.
- The run on H100 in half precision reached a smaller share than those on A100; why, its authors don't say.

A run of yours will differ: measure some steps and give `--utilisation`. The one in `metrics.jsonl` is a share of what a
plain product reaches on the card, which is less than the peak here.

## From 0.3 to 20 billion weights

On H100, {images:,} images, 100,000 steps of 2,560 images at 224 and 98 pixels, patches of 14, SwiGLU, RAD-DINO's head,
FSDP, activations computed again where they would not fit.

{sizes}

What limits each, as seconds of sending for each of computing:

{limits}

From 7 billion weights on this trainer's FSDP sends longer than the cards compute, for it gathers weights in float32,
for both sizes of crops, forward and backward; more images a card at a time, which the memory has room for with
recomputed activations, or gathering in bfloat16, which it can't yet, would mend that.
"""


def _published() -> str:
    lines = [
        "| run | cards | steps | published hours | planned hours | planned / published | reached | source |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for run in PUBLISHED:
        planned, ideal = run.ideal_hours() / UTILISATION, run.ideal_hours()
        lines.append(
            f"| {run.name} | {run.gpus} {run.gpu} | {run.steps:,} | {run.hours:.1f} | {planned:.1f} "
            f"| {run.ratio(UTILISATION):.2f} | {ideal / run.hours:.0%} | {run.source} |"
        )
    return "\n".join(lines)


def _sized(name: str) -> tuple[Request, Plan]:
    overrides, gpus = SIZES[name]
    config = ssl_core.load_config("rad-dino-vitb14-518", [*_LARGE, *overrides])
    request = Request(config, "h100", gpus, IMAGES)
    found = plan(request)
    if not found.fits:
        request = request.change(activation_checkpointing=True)
        found = plan(request)
    return request, found


def _sizes(found: dict[str, tuple[Request, Plan]]) -> str:
    lines = [
        "| billions | cards | images a card | recomputed | GiB of a card | of it weights and optimiser | fits "
        "| s computing | s sending | hours | GPU hours | MWh |",
        "|---|---:|---:|---|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for request, bill in found.values():
        (phase,) = bill.phases
        memory = phase.memory
        held = sum(memory[part] for part in ("parameters", "gradients", "optimiser", "teacher", "copies", "exchange"))
        lines.append(
            f"| {sum(bill.parameters[part] for part in ('backbone', 'heads')) / 1e9:.2f} | {request.gpus} "
            f"| {request.micro_batch} | {'yes' if request.config.train.activation_checkpointing else 'no'} "
            f"| {bill.peak / 2**30:.1f} | {held / 2**30:.1f} | {'yes' if bill.fits else 'no'} | {phase.compute:.2f} "
            f"| {phase.communication:.2f} | {bill.hours:,.0f} | {bill.gpu_hours:,.0f} | {bill.kwh / 1e3:,.1f} |"
        )
    return "\n".join(lines)


def _limits(found: dict[str, tuple[Request, Plan]]) -> str:
    words = []
    for name, (_, bill) in found.items():
        (phase,) = bill.phases
        what = phase.limit if bill.fits else "memory"
        sent = phase.communication / (phase.compute + phase.update)
        words.append(f"- {name} billion: {what} ({sent:.1f})")
    return "\n".join(words)


def main() -> None:
    """Write the page."""
    by_name = {run.name.split(",")[0].split(" at ")[0]: run for run in PUBLISHED}
    seven, rad = by_name["DINOv3 ViT-7B/16"], by_name["RAD-DINO ViT-B/14"]
    reached = seven.ideal_hours() * seven.speedup / seven.hours
    short = rad.ideal_hours() * 0.35 / rad.hours
    found = {name: _sized(name) for name in SIZES}
    text = TEXT.format(
        usable=USABLE,
        utilisation=UTILISATION,
        published=_published(),
        seven=reached,
        seven_ratio=reached / UTILISATION,
        short=short,
        short_ratio=short / UTILISATION,
        images=IMAGES,
        sizes=_sizes(found),
        limits=_limits(found),
    )
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.name}: {len(PUBLISHED)} published runs, {len(found)} sizes, {len(GPUS)} cards known")


if __name__ == "__main__":
    main()
