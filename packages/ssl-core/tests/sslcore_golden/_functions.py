"""Targets, KoLeo, schedules and parameter groups, function by function."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ssl_core
import torch
from torch import Tensor

from sslcore_golden._comparison import DOUBLE, SINGLE, Comparison, apply_pending, ratio, read, relative


def dense(logits: Tensor) -> ssl_core.Logits:
    """Given logits as the product that the losses take."""
    return ssl_core.Logits(logits, torch.eye(logits.shape[1], dtype=logits.dtype))


def sinkhorn(folder: Path) -> Iterator[Comparison]:
    """Balanced targets of given logits."""
    cases, arrays = read(folder, "sinkhorn")
    for name, case in cases["cases"].items():
        for dtype, bound in ((DOUBLE, 1e-12), (SINGLE, 2e-6)):
            logits = dense(arrays[f"{name}.logits"].to(dtype))
            bias = ssl_core.sinkhorn_bias(logits, case["temp"], case["iterations"])
            got = ssl_core.Targets(logits, case["temp"], bias)[:]
            yield Comparison("sinkhorn", "targets", name, dtype, relative(got, arrays[f"{name}.out"]), bound)


def centring(folder: Path) -> Iterator[Comparison]:
    """Centred targets of successive calls, and the centre."""
    file = "softmax_center"
    cases, arrays = read(folder, file)
    for kind, case in cases["cases"].items():
        for dtype, bound in ((DOUBLE, 1e-12), (SINGLE, 2e-6)):
            first = arrays[f"{kind}.center0"].flatten()
            centre = ssl_core.Centre(len(first), case["momentum"]).to(dtype)
            centre.value.copy_(first)
            for call, temperature in enumerate(case["temps"]):
                logits = dense(arrays[f"{kind}.call{call}.logits"].to(dtype).flatten(0, -2))
                got = ssl_core.Targets(logits, temperature, centre.bias(logits, temperature))[:]
                error = relative(got, arrays[f"{kind}.call{call}.softmax"])
                yield Comparison(file, "targets", f"{kind} call {call}", dtype, error, bound)
                error = relative(centre.value, arrays[f"{kind}.call{call}.center_used"])
                yield Comparison(file, "centres", f"{kind} call {call}", dtype, error, bound)
            error = relative(apply_pending(centre), arrays[f"{kind}.center_final"])
            yield Comparison(file, "centres", f"{kind} final", dtype, error, bound)


def koleo(folder: Path) -> Iterator[Comparison]:
    """The spreading loss and its gradient."""
    cases, arrays = read(folder, "koleo")
    for name, case in cases["cases"].items():
        for dtype in (DOUBLE, SINGLE):
            x = arrays[f"{name}.x"].to(dtype).requires_grad_()
            loss = ssl_core.koleo(x)
            (gradient,) = torch.autograd.grad(loss, x)
            loose = (2e-5, 5e-3) if name == "near_duplicates" else (2e-6, 5e-6)
            bounds = (1e-12, 1e-12) if dtype == DOUBLE else loose
            error = ratio(float(loss.detach()), case["loss_float64"])
            yield Comparison("koleo", "losses", name, dtype, error, bounds[0])
            error = relative(gradient, arrays[f"{name}.grad"])
            yield Comparison("koleo", "gradients", name, dtype, error, bounds[1])


def schedules(folder: Path) -> Iterator[Comparison]:
    """Cosine schedules step by step, also beyond their end, and those of a default run."""
    file, case = "schedules", read(folder, "schedules")[0]
    for i, stated in enumerate(case["cosine_scheduler"]):
        k = stated["kwargs"]
        error = max(
            abs(
                expected
                - ssl_core.cosine_schedule(
                    step,
                    base=k["base_value"],
                    final=k["final_value"],
                    total=k["total_iters"],
                    warmup=k.get("warmup_iters", 0),
                    start=k.get("start_warmup_value", 0),
                    freeze=k.get("freeze_iters", 0),
                )
            )
            for step, expected in enumerate(stated["values"])
        )
        yield Comparison(file, "cosine", f"case {i}", DOUBLE, error, 1e-15 * max(1, abs(k["base_value"])))
    run = case["default_run"]
    c, epoch = run["config"], run["config"]["iterations_per_epoch"]
    total = epoch * c["epochs"]
    cosines = {
        "lr": {"base": c["lr"], "final": c["min_lr"], "warmup": c["warmup_epochs"] * epoch},
        "weight_decay": {"base": c["weight_decay"][0], "final": c["weight_decay"][1]},
        "momentum": {"base": c["momentum"][0], "final": c["momentum"][1]},
    }
    for place, step in enumerate(run["iterations"]):
        ours = {name: ssl_core.cosine_schedule(step, total=total, **k) for name, k in cosines.items()}
        ours["last_layer_lr"] = ours["lr"] if step >= c["freeze_last_layer_epochs"] * epoch else 0.0
        start, end = c["teacher_temp"]
        ours["teacher_temp"] = ssl_core.warmup_schedule(
            step, start=start, end=end, warmup=c["teacher_temp_warmup_epochs"] * epoch
        )
        for name, value in ours.items():
            yield Comparison(file, "default run", f"{name} at {step}", DOUBLE, abs(value - run[name][place]), 1e-15)


def groups(folder: Path) -> Iterator[Comparison]:
    """Multipliers of learning rate and weight decay, and shapes, of every parameter of a whole encoder."""
    file, case = "param_groups_vitb14", read(folder, "param_groups_vitb14")[0]
    with torch.device("meta"):
        size = case["arch"].removeprefix("vit_")
        backbone = ssl_core.vit(size, patch_size=case["patch_size"], image_size=case["image_size"], channels=3)
        network = ssl_core.Network(backbone, ssl_core.HeadConfig(separate=case["separate_ibot_head"]))
    shapes = {name: list(p.shape) for name, p in network.named_parameters()}
    wrong = [name for name in shapes.keys() | case["shapes"].keys() if shapes.get(name) != case["shapes"].get(name)]
    if wrong:
        raise ValueError(f"{file}: other names or shapes: {sorted(wrong)}")
    for name, (lr, decay, last) in case["params"].items():
        got = ssl_core.multipliers(
            name,
            depth=backbone.config.depth,
            layerwise_decay=case["layerwise_decay"],
            patch_embed_lr=case["patch_embed_lr_mult"],
        )
        error = max(abs(got.lr - lr), abs(got.weight_decay - decay), float(got.is_last_layer != last))
        yield Comparison(file, "multipliers", name, DOUBLE, error, 1e-12)
