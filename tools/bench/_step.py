"""A training step, forward and backward, against the same mathematics as one writes it down at first."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

PROTOTYPES, IMAGES, DROP_PATH = 65536, 8, 0.3


def _models(drop_path: float) -> tuple[Any, Any, dict[str, Any]]:
    """Ours, the textbook's (student, teacher) with the same weights, and one batch of views."""
    import ssl_core
    import torch
    from torch import nn

    from tools.bench import _textbook

    torch.manual_seed(0)
    vit = ssl_core.vit("small", image_size=224, channels=3, drop_path=drop_path)
    ours = ssl_core.SelfDistillation(vit, ssl_core.HeadConfig(prototypes=PROTOTYPES), ssl_core.LossConfig())
    sides = []
    for mine in (ours.student, ours.teacher):
        backbone = _textbook.ViT(384, 12, 6, 14, 224, 3, drop_path)
        backbone.load_state_dict(mine.backbone.state_dict())
        head = _textbook.Head(384, PROTOTYPES)
        names = {"last_layer.weight_g": "original0", "last_layer.weight_v": "original1"}
        head.load_state_dict(
            {
                f"last_layer.parametrizations.weight.{names[k]}" if k in names else k: v
                for k, v in mine.dino_head.state_dict().items()
            }
        )
        sides.append(nn.ModuleDict({"backbone": backbone, "head": head}))
    sides[1].eval().requires_grad_(False)
    masks = ssl_core.crop_masks(
        2 * IMAGES, (16, 16), probability=0.5, ratio=(0.1, 0.5), generator=torch.Generator().manual_seed(0)
    )
    views = {
        "global_crops": torch.randn(2 * IMAGES, 3, 224, 224),
        "local_crops": torch.randn(8 * IMAGES, 3, 98, 98),
        "masks": masks,
    }
    return ours, sides, views


def measure(threads: int, repeats: int) -> str:
    """In this process: times of both by turns, and ours as a share of what a matrix product reaches."""
    import ssl_core
    import torch
    from ssl_core._memory import keep_freed_memory
    from torch.utils.flop_counter import FlopCounterMode

    from tools.bench import _textbook
    from tools.bench._interleave import interleave

    torch.set_num_threads(threads)
    ours, (student, teacher), views = _models(0.0)
    batch = ssl_core.Batch(**views)
    mine = float(ours(batch, 0.04)["loss"].detach())
    peer = float(_textbook.loss(student, teacher, views, 0.04).detach())
    if abs(mine - peer) > 1e-4 * abs(peer):
        raise RuntimeError(f"expected the same loss of both, got {mine} and {peer}")
    ours, (student, teacher), views = _models(DROP_PATH)

    def step() -> None:
        ours.zero_grad(set_to_none=True)
        ours(batch, 0.04)["loss"].backward()

    def textbook() -> None:
        student.zero_grad(set_to_none=True)
        torch.autograd.backward(_textbook.loss(student, teacher, views, 0.04))

    a = torch.randn(2048, 2048)
    product = lambda: [a @ a for _ in range(10)]  # noqa: E731
    theirs, product_time = interleave(textbook, product, repeats)  # as anyone would run it
    keep_freed_memory()  # as our trainer does
    spent, again = interleave(step, product, repeats)
    with FlopCounterMode(display=False) as counter:
        step()
    peak = 10 * 2 * 2048**3 / min(again, product_time)
    share = counter.get_total_flops() / spent / peak
    return (
        f"{spent / theirs:.2f} of the textbook's time ({spent:.2f} s against {theirs:.2f} s), "
        f"{share:.0%} of a matrix product's {peak / 1e9:.0f} GFLOP/s ({counter.get_total_flops() / 1e9:.0f} GFLOP)"
    )


def step() -> str:
    """ViT-S/14, 2 x 224 + 8 x 98, 65,536 prototypes, batch 8, float32, drop path 0.3, two threads."""
    code = "from tools.bench._step import measure; print(measure(2, 5))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
