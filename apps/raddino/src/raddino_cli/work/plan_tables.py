"""A plan as tables for people, as a JSON object, and as the one line that says why it does not fit."""

from __future__ import annotations

import dataclasses
from typing import Any

from raddino_cli.work.planning import Plan, Request

Table = tuple[str, list[str], list[list[str]]]
_GIB = 2**30


def as_json(plan: Plan) -> dict[str, Any]:
    """Every figure, in bytes, seconds, hours and kilowatt hours."""
    return {**dataclasses.asdict(plan), "peak": plan.peak, "fits": plan.fits, "limits": [p.limit for p in plan.phases]}


def refusal(request: Request, plan: Plan) -> str:
    """One line: what is needed, what there is, what to change."""
    fitting = [words for words, _, fits in plan.changes if fits]
    mend = f"try {' or '.join(fitting[:2])}" if fitting else "no single change is enough: use more and larger GPUs"
    return (
        f"does not fit: {request.micro_batch} images at a time need {plan.peak / _GIB:.1f} GiB of the "
        f"{plan.usable / _GIB:.1f} GiB that can be used of a {request.gpu}; {mend}"
    )


def tables(request: Request, plan: Plan) -> list[Table]:
    """Compute, memory, time; and what to change where it does not fit."""
    found = [_compute(plan), _memory(plan), _time(request, plan)]
    if plan.changes:
        rows = [[words, f"{need / _GIB:.1f}", "yes" if fits else "no"] for words, need, fits in plan.changes]
        found.append(("What to change", ["change", "GiB", "fits"], rows))
    return found


def _compute(plan: Plan) -> Table:
    names = list(plan.phases[0].flops_per_image)
    rows = [[name, *(f"{p.flops_per_image[name] / 1e9:,.1f}" for p in plan.phases)] for name in names]
    rows += [
        [f"tokens a step, {name}", *(f"{phase.tokens[name]:,}" for phase in plan.phases)]
        for name in plan.phases[0].tokens
    ]
    return "GFLOP an image", ["part", *(f"{phase.steps:,} steps" for phase in plan.phases)], rows


def _memory(plan: Plan) -> Table:
    rows = [
        [name, f"{plan.kept[name] / _GIB:.2f}", f"{plan.recomputed[name] / _GIB:.2f}"]
        for name in plan.kept
        if plan.kept[name] or plan.recomputed[name]
    ]
    rows.append(["can be used", *[f"{plan.usable / _GIB:.2f}"] * 2])
    rows.append(["images at a time that fit", *(f"{n:,}" for n in plan.largest_batch.values())])
    return "GiB of a GPU at its peak", ["part", "activations kept", "recomputed"], rows


def _time(request: Request, plan: Plan) -> Table:
    phases = plan.phases
    rows = [
        ["weights of the student", f"{plan.parameters['backbone'] + plan.parameters['heads']:,}"],
        ["images at a time of a GPU", f"{request.micro_batch:,}"],
        ["seconds a step", ", ".join(f"{p.seconds:.3f}" for p in phases)],
        ["  computing", ", ".join(f"{p.compute:.3f}" for p in phases)],
        ["  updating weights", ", ".join(f"{p.update:.3f}" for p in phases)],
        ["  sending, beside it", ", ".join(f"{p.communication:.3f}" for p in phases)],
        ["  limited by", ", ".join(p.limit for p in phases)],
        *([f"GB a step that a GPU sends by {name}", f"{sent / 1e9:.2f}"] for name, sent in plan.traffic.items()),
        ["GB/s of its link", f"{plan.link / 1e9:.1f}"],
        ["cores a GPU for reading and views", ", ".join(f"{p.loader_cores:.1f}" for p in phases)],
        ["TB of shards (16-bit PNG)", f"{plan.shard_bytes / 1e12:.3f}"],
        ["images a second", f"{plan.images_per_second:,.0f}"],
        ["passes over the images", f"{plan.passes:,.1f}"],
        ["hours", f"{plan.hours:,.1f}"],
        ["GPU hours", f"{plan.gpu_hours:,.0f}"],
        ["kWh of the boards", f"{plan.kwh:,.0f}"],
    ]
    if plan.cost is not None:
        rows.append(["cost", f"{plan.cost:,.0f}"])
    title = (
        f"{request.gpus} x {request.gpu} at {request.utilisation:.0%} of their peak, {request.config.train.parallel}"
    )
    return title, ["", ""], rows
