"""Training on one GPU in bfloat16: a step against the textbook's, back-ends of attention, the loss, and a run."""

from __future__ import annotations

import functools
import gc
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ssl_core import Config
    from torch import nn

_ABSENT = "no CUDA device here"
_TEMPERATURE = 0.04
SMALL = (
    "model.embed_dim=384", "model.num_heads=6", "crops.global_size=224", "crops.local_size=98",
    "crops.encode_size=224", "train.batch_size=64", "train.compile=false",
)  # fmt: skip
"""ViT-S/14, 2 x 224 + 8 x 98, 65,536 prototypes."""
BASE = ("train.batch_size=40", "train.compile=false")
"""RAD-DINO's ViT-B/14, 2 x 518 + 8 x 196, 65,536 prototypes, 40 images a GPU."""
_CASES = (("ViT-S/14 at 224", SMALL), ("ViT-B/14 at 518", BASE))


def gpu_step() -> str:
    """Forward and backward of a step: ours, ours compiled, the textbook's; share of a matrix product's speed."""
    import torch

    if not torch.cuda.is_available():
        return _ABSENT
    return "; ".join(_against_textbook(*case) for case in _CASES)


def gpu_attention() -> str:
    """Forward and backward of attention over 1,370 tokens in 12 heads of 64, 80 images: times of each back-end."""
    import ssl_core
    import torch

    if not torch.cuda.is_available():
        return _ABSENT
    qkv = torch.randn(80, 1370, 3, 12, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # as a block has them
    told = []
    for backend in ("sdpa", "varlen", "xformers", "plain"):

        def work(backend: str = backend) -> None:
            with ssl_core.force_attention(backend):
                ssl_core.attention(q, k, v).sum().backward()

        try:
            told.append(f"{backend} {_median(work) * 1e3:.1f} ms")
        except (ssl_core.SslError, NotImplementedError, ValueError, RuntimeError) as error:
            told.append(f"{backend}: {str(error).splitlines()[0]}")
    return ", ".join(told)


def gpu_loss() -> str:
    """Cross-entropy of 16,384 masked tokens with targets over 65,536 prototypes: ours against whole matrices."""
    import torch
    import torch.nn.functional as F
    from ssl_core._cross_entropy import prototype_cross_entropy
    from ssl_core._targets import Logits, Targets

    if not torch.cuda.is_available():
        return _ABSENT
    n, k, d = 16384, 65536, 256
    rows, taught = (F.normalize(torch.randn(n, d, device="cuda"), dim=1) for _ in "st")
    prototypes, theirs = (F.normalize(torch.randn(k, d, device="cuda"), dim=1) for _ in "st")
    rows.requires_grad_()
    prototypes.requires_grad_()
    weights = torch.full((n,), 1 / n, device="cuda")
    bias = torch.zeros(k, device="cuda")

    def ours(compiled: bool = False) -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            targets = Targets(Logits(taught, theirs), 0.07, bias)
            loss = prototype_cross_entropy(rows, prototypes, targets, weights, 0.1, compiled=compiled)
        torch.autograd.backward(loss)

    def whole() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            with torch.no_grad():
                target = F.softmax((taught @ theirs.T).float() / 0.07 + bias, dim=-1)
            logits = (rows @ prototypes.T).float() / 0.1
            loss = -((target * F.log_softmax(logits, dim=-1)).sum(dim=1) * weights).sum()
        torch.autograd.backward(loss)

    its, much = _median(whole, 5), _peak(whole)
    told = []
    for name, work in (("as it is", ours), ("compiled", functools.partial(ours, compiled=True))):
        mine, little = _median(work, 5), _peak(work)
        told.append(
            f"{name} {mine / its:.2f} of the whole matrices' time ({mine * 1e3:.0f} against {its * 1e3:.0f} ms) in "
            f"{little / much:.2f} of their memory ({little:.1f} against {much:.1f} GiB)"
        )
    return "; ".join(told)


def gpu_run() -> str:
    """The trainer's own steps, views included, from 16-bit images of 518 and 224 pixels in memory."""
    import torch

    if not torch.cuda.is_available():
        return _ABSENT
    return "; ".join(
        f"{name}{', compiled' if compiled else ''}: {_run(sets, compiled)}"
        for (name, sets), compiled in itertools.product(_CASES, (False, True))
    )


def _config(sets: tuple[str, ...], *more: str) -> Config:
    import ssl_core

    return ssl_core.load_config("rad-dino-vitb14-518", [*sets, "train.steps=1000", *more])


def _run(sets: tuple[str, ...], compiled: bool) -> str:
    import ssl_core
    import torch

    config = _config(sets, f"train.compile={str(compiled).lower()}")
    side = cast(int, config.crops.global_size)
    images = (torch.rand(256, 1, side, side, generator=torch.Generator().manual_seed(0)) * 65535).to(torch.uint16)
    with tempfile.TemporaryDirectory() as out:
        torch.cuda.reset_peak_memory_stats()
        trainer = ssl_core.Trainer(config, images, out, device="cuda")
        for _ in range(4):
            trainer.train_step()
        torch.cuda.synchronize()
        start, steps = time.perf_counter(), 10
        for _ in range(steps):
            trainer.train_step()
        torch.cuda.synchronize()
        spent = (time.perf_counter() - start) / steps
        begun = time.perf_counter()
        for step in range(100, 103):
            trainer._loader.batches(step)
        torch.cuda.synchronize()
        views = (time.perf_counter() - begun) / 3
        peak, size = torch.cuda.max_memory_allocated() / 2**30, config.train.batch_size
        paper = ssl_core.step_memory(config)["total"] / 2**30
        del trainer
    _free()
    return (
        f"{size / spent:.0f} images/s ({spent * 1e3:.0f} ms a step of {size}; its views alone {views * 1e3:.0f} ms), "
        f"{ssl_core.step_flops(config)['total'] / spent / _product():.0%} of a matrix product's speed, "
        f"{peak:.1f} GiB at its peak, {paper:.1f} on paper"
    )


def _against_textbook(name: str, sets: tuple[str, ...]) -> str:
    import ssl_core
    import torch
    from ssl_core._parallel import prepare_blocks

    told, theirs, flops = [], 0.0, ssl_core.step_flops(_config(sets))["total"]
    for kind in ("textbook", "ours", "ours compiled"):
        config = _config(sets, f"train.compile={str(kind == 'ours compiled').lower()}")
        torch.manual_seed(0)
        batch = ssl_core.make_batch(config, torch.rand(64, 1, 64, 64), 0, device="cuda")[1]
        try:
            work = _textbook_step(config, batch) if kind == "textbook" else None
            if work is None:
                model = ssl_core.build(config).to("cuda")
                prepare_blocks(model, config.train)
                work = _our_step(model, batch)
            spent, peak = _median(work, 5), _peak(work)
        except torch.OutOfMemoryError:
            told.append(f"{kind} out of memory")
            continue
        finally:
            work = model = None  # type: ignore[assignment]
            _free()
        theirs = theirs or (spent if kind == "textbook" else 0.0)
        ratio = f" = {spent / theirs:.2f}" if theirs and kind != "textbook" else ""
        told.append(f"{kind} {spent * 1e3:.0f} ms{ratio}, {flops / spent / _product():.0%}, {peak:.1f} GiB")
    return f"{name}, batch {_config(sets).train.batch_size}: " + ", ".join(told)


def _our_step(model: nn.Module, batch: Any) -> Callable[[], None]:
    import torch

    def step() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(batch, _TEMPERATURE)["loss"]
        loss.backward()

    return step


def _textbook_step(config: Config, batch: Any) -> Callable[[], None]:
    import torch
    from torch import nn

    from tools.bench import _textbook

    m = config.model
    sides = []
    for _ in "st":
        size = cast(int, config.crops.global_size)
        backbone = _textbook.ViT(m.embed_dim, m.depth, m.num_heads, 14, size, m.channels, m.drop_path)
        for parameter in (backbone.cls_token, backbone.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        head = _textbook.Head(m.embed_dim, config.head.prototypes)
        sides.append(nn.ModuleDict({"backbone": backbone, "head": head}).to("cuda"))
    student, teacher = sides
    teacher.eval().requires_grad_(False)
    views = {name: getattr(batch, name) for name in ("global_crops", "local_crops", "masks")}

    def step() -> None:
        student.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = _textbook.loss(student, teacher, views, _TEMPERATURE)
        torch.autograd.backward(loss)

    return step


def _product() -> float:
    """Operations a second of a matrix product in bfloat16 on random data: the median of ten."""
    import torch

    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    return float(2 * 8192**3 / _median(lambda: a @ a, 10))


def _median(work: Callable[[], object], repeats: int = 7) -> float:
    """Seconds by the device's own clock, after two warm-ups."""
    import torch

    times = []
    for turn in range(repeats + 2):
        start, end = torch.Event("cuda", enable_timing=True), torch.Event("cuda", enable_timing=True)
        start.record()
        work()
        end.record()
        end.synchronize()
        if turn > 1:
            times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def _free() -> None:
    """Give up what is no longer used; compiled and recomputed blocks refer to themselves."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _peak(work: Callable[[], object]) -> float:
    """GiB that the work adds to what was held, at most."""
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return float((torch.cuda.max_memory_allocated() - held) / 2**30)
