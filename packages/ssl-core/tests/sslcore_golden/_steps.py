"""One training step of the loss, and five of the trainer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ssl_core
import torch
from safetensors.torch import load_file
from torch import Tensor

from sslcore_golden._comparison import DOUBLE, SINGLE, Comparison, apply_pending, ratio, read, relative, vit


def head(case: dict[str, Any]) -> ssl_core.HeadConfig:
    """The heads that a file states."""
    m, separate = case["model"], case["separate_ibot_head"]
    return ssl_core.HeadConfig(
        prototypes=m["dino_prototypes"],
        hidden=m["head_hidden"],
        bottleneck=m["head_bottleneck"],
        layers=m["head_layers"],
        separate=separate,
        ibot_prototypes=m["ibot_prototypes_separate"] if separate else 0,
    )


def load_networks(model: ssl_core.SelfDistillation, folder: Path, separate: bool) -> None:
    """Student and teacher as the reference had them; the shared head leaves ibot_head's weights unused."""
    weights = load_file(folder / "ssl_step_weights.safetensors")
    for side in ("student", "teacher"):
        state = {k.removeprefix(f"{side}."): v for k, v in weights.items() if k.startswith(f"{side}.")}
        if not separate:
            state = {k: v for k, v in state.items() if not k.startswith("ibot_head.")}
        getattr(model, side).load_state_dict(state)


def batch(tensors: dict[str, Tensor], dtype: torch.dtype, prefix: str = "") -> ssl_core.Batch:
    """A step's crops, from bytes, and masks."""

    def pixels(name: str) -> Tensor:
        return (tensors[f"{prefix}{name}_u8"].to(dtype) - 128) / 64

    return ssl_core.Batch(pixels("global_crops"), pixels("local_crops"), tensors[f"{prefix}masks"])


def logged(terms: dict[str, float], weights: dict[str, float]) -> dict[str, float]:
    """Our terms as the reference logs them: iBOT and KoLeo are halved there, KoLeo is weighted."""
    parts = {
        "dino_local_crops_loss": terms["dino_local"],
        "dino_global_crops_loss": terms["dino_global"],
        "ibot_loss": terms["ibot"] / 2,
        "koleo_loss": terms["koleo"] * weights["koleo"] / 2,
    }
    return parts | {"total_logged": sum(parts.values()), "total_backprop": terms["loss"]}


def steps(folder: Path) -> Iterator[Comparison]:
    """Losses, gradients and centres of one training step: both centrings, one or two heads."""
    paths = sorted(folder.glob("ssl_step_*_*.json"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no ssl_step_*.json")
    for path in paths:
        case, arrays = read(folder, path.stem)
        loss = ssl_core.LossConfig(
            **{f"{name}_weight": weight for name, weight in case["loss_weights"].items()},
            centring=case["centering"],
            centre_momentum=case["center_momentum"],
            student_temperature=case["student_temp"],
        )
        for dtype in (DOUBLE, SINGLE):
            exact = dtype == DOUBLE

            def compare(
                quantity: str, name: str, error: float, bound: float, file: str = path.stem, dtype: torch.dtype = dtype
            ) -> Comparison:
                return Comparison(file, quantity, name, dtype, error, bound)

            model = ssl_core.SelfDistillation(vit(case["model"]), head(case), loss).to(dtype)
            load_networks(model, folder, case["separate_ibot_head"])
            centres = {"dino": model.dino_centre, "ibot": model.ibot_centre}
            if case["centering"] == "centering":
                for kind, centre in centres.items():
                    centre.value.copy_(arrays[f"{kind}_center_before"].flatten())
            terms = model(batch(load_file(folder / case["batch"]), dtype), case["teacher_temp"])
            ours = logged({k: float(v.detach()) for k, v in terms.items()}, case["loss_weights"])
            for name, value in ours.items():
                error = ratio(value, case["losses_f64"][name])
                yield compare("losses", name, error, 1e-12 if exact else 2e-6)
            terms["loss"].backward()
            bound = 1e-5 if not exact else 2e-7 if case["separate_ibot_head"] else 1e-11
            gradients = {
                f"grad.{name}": torch.zeros_like(p) if p.grad is None else p.grad
                for name, p in model.student.named_parameters()
            }
            expected = {name for name in arrays if name.startswith("grad.")}
            if gradients.keys() != expected:
                raise ValueError(f"{path.stem}: other parameters: {sorted(gradients.keys() ^ expected)}")
            for name, gradient in gradients.items():
                yield compare("gradients", name, relative(gradient, arrays[name]), bound)
            if case["centering"] == "centering":
                for kind, centre in centres.items():
                    mean = arrays[f"out.{kind}_center_pending_sum"] / arrays[f"out.{kind}_center_pending_len"]
                    bound = 1e-12 if exact else 2e-6
                    yield compare("centres", f"{kind} pending", relative(centre.pending, mean), bound)
                    after = relative(apply_pending(centre), arrays[f"out.{kind}_center_after"])
                    yield compare("centres", f"{kind} after", after, bound)


def trainer(case: dict[str, Any], folder: Path, out: Path) -> ssl_core.Trainer:
    """A trainer as `train_5_steps` states it, with the reference's first weights."""
    m, o, s = case["model"], case["optimizer"], case["schedule_parameters"]
    epoch, images = s["iterations_per_epoch"], case["images"]
    config = ssl_core.Config(
        model=ssl_core.ModelConfig(
            embed_dim=m["embed_dim"],
            depth=m["depth"],
            num_heads=m["num_heads"],
            mlp_ratio=float(m["mlp_ratio"]),
            patch_size=m["patch_size"],
            channels=3,
            drop_path=0.0,
        ),
        head=head(case),
        loss=ssl_core.LossConfig(
            **{f"{name}_weight": weight for name, weight in case["loss_weights"].items()},
            centring=case["centering"],
            teacher_temperature_start=s["teacher_temp"]["start"],
            teacher_temperature=s["teacher_temp"]["base"],
            teacher_temperature_warmup=s["teacher_temp"]["warmup_epochs"] * epoch,
        ),
        crops=ssl_core.CropConfig(
            global_size=m["global_size"], local_size=m["local_size"], local_count=case["local_crops"]
        ),
        optim=ssl_core.OptimConfig(
            base_lr=s["lr"]["base"] * math.sqrt(1024 / images),  # the file states the rate itself
            min_lr=s["lr"]["final"],
            warmup=s["lr"]["warmup_epochs"] * epoch,
            freeze_last_layer=epoch,
            weight_decay=s["weight_decay"]["base"],
            weight_decay_end=s["weight_decay"]["final"],
            momentum=s["momentum"]["base"],
            momentum_end=s["momentum"]["final"],
            beta1=o["betas"][0],
            beta2=o["betas"][1],
            clip=o["clip_grad_norm_per_submodule"],
            layerwise_decay=o["layerwise_decay"],
            patch_embed_lr=o["patch_embed_lr_mult"],
        ),
        train=ssl_core.TrainConfig(steps=epoch * s["epochs"], batch_size=images),
    )
    data = torch.zeros(images, 3, m["global_size"], m["global_size"])
    run = ssl_core.Trainer(config, data, out, device="cpu")
    load_networks(run.model, folder, case["separate_ibot_head"])
    return run


def training(folder: Path, scratch: Path) -> Iterator[Comparison]:
    """Five steps of the trainer itself: schedules, losses, gradient norms, final weights and centres."""
    file = "train_5_steps"
    case, arrays = read(folder, file)
    for dtype, key, bound in ((SINGLE, "steps_f32", 5e-6), (DOUBLE, "steps_f64", 1e-11)):
        run = trainer(case, folder, scratch / key)
        run.model.to(dtype)
        for i, expected in enumerate(case[key]):
            stated = case["steps_f32"][i]["schedule"]
            values = run.schedule(i)
            for name, value in stated.items():
                error = abs(values[{"teacher_temp": "teacher_temperature"}.get(name, name)] - value)
                yield Comparison(file, "schedules", f"step {i} {name}", dtype, error, 1e-12)
            found = run.optimise([batch(arrays, dtype, f"step{i}.")], values)
            ours = logged({name: float(value) for name, value in found.items()}, case["loss_weights"])
            for name, value in expected["losses"].items():
                yield Comparison(file, "losses", f"step {i} {name}", dtype, ratio(ours[name], value), bound)
            for part, value in expected.get("grad_norm_before_clip", {}).items():
                yield Comparison(
                    file,
                    "gradient norms",
                    f"step {i} {part}",
                    dtype,
                    ratio(float(found[f"grad_norm_{part}"]), value),
                    2e-5,
                )
        if dtype == DOUBLE:
            return
        for side in ("student", "teacher"):
            for name, parameter in getattr(run.model, side).named_parameters():
                got, want = parameter.detach(), arrays[f"final_{side}.{name}"]
                if name.endswith("attn.qkv.bias"):  # the key bias has no gradient but Adam's rounding noise
                    d = len(got) // 3
                    got, want = (torch.cat((t[:d], t[2 * d :])) for t in (got, want))
                error = float((got - want).abs().max())
                yield Comparison(file, "final weights", f"{side} {name}", dtype, error, 1e-5)
        for kind, centre in (("dino", run.model.dino_centre), ("ibot", run.model.ibot_centre)):
            for state in ("applied", "with_pending"):
                value = centre.value if state == "applied" else apply_pending(centre)
                error = relative(value, arrays[f"{kind}_center_{state}"])
                yield Comparison(file, "centres", f"{kind} {state}", dtype, error, bound)
