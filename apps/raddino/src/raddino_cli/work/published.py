"""Runs whose hours were published, as configurations: what the default utilisation comes from."""

from __future__ import annotations

from dataclasses import dataclass

import ssl_core

from raddino_cli.work.gpus import GPUS


@dataclass(frozen=True)
class Run:
    """A run as its authors describe it; `speedup` of the encoder's products where they are not in half precision."""

    name: str
    recipe: str
    overrides: tuple[str, ...]
    gpu: str
    gpus: int
    steps: int
    hours: float
    source: str
    speedup: float = 1.0

    def ideal_hours(self) -> float:
        """At the whole peak; recomputed activations are not counted."""
        flops = ssl_core.step_flops(ssl_core.load_config(self.recipe, self.overrides))
        work = (flops["total"] - flops["heads"]) / self.speedup + flops["heads"]
        return work * self.steps / (self.gpus * GPUS[self.gpu].flops) / 3600

    def ratio(self, utilisation: float) -> float:
        """Planned over published hours."""
        return self.ideal_hours() / utilisation / self.hours


_COLOUR = ("model.channels=3", "high_res.steps=0", "crops.encode_size=0")
_L16 = (
    *_COLOUR, "model.patch_size=16", "model.ffn=mlp", "model.drop_path=0.3", "crops.local_size=96",
    "head.prototypes=65536", "head.bottleneck=256", "head.ibot_prototypes=0", "head.ibot_bottleneck=0",
    "train.batch_size=2048",
)  # fmt: skip
_7B = (
    *_COLOUR, "model.embed_dim=4096", "model.depth=40", "model.num_heads=32", "model.patch_size=16",
    "model.mlp_ratio=3", "model.registers=4", "crops.global_size=256", "crops.local_size=112",
    "head.prototypes=262144", "head.hidden=8192", "head.bottleneck=512", "head.ibot_prototypes=98304",
    "head.ibot_bottleneck=384", "train.batch_size=4096",
)  # fmt: skip

PUBLISHED = (
    Run("DINOv2 ViT-L/16, ImageNet-1k", "dinov2-vitl14", (*_L16, "head.separate=false"), "a100-80", 32, 125_000, 24,
        "dinov2's README: about 1 day on 32 A100-80GB"),
    Run("DINOv2 ViT-L/14, ImageNet-22k", "dinov2-vitl14", _COLOUR, "a100-80", 96, 625_000, 3.3 * 24,
        "dinov2's README: about 3.3 days on 96 A100-80GB"),
    Run("DINOv3 ViT-L/16, ImageNet-1k", "dinov2-vitl14", _L16, "h100", 32, 125_000, 14,
        "dinov3's README: about 14 hours on 32 H100-80GB"),
    Run("DINOv3 ViT-7B/16", "dinov2-vitl14", _7B, "h100", 256, 1_000_000, 61_440 / 256,
        "DINOv3's model card: 61,440 H100 hours; its configuration: 256 GPUs, 1,000,000 steps, blocks in fp8", 2.0),
    Run("RAD-DINO ViT-B/14 at 518", "rad-dino-vitb14-518", _COLOUR, "a100-80", 64, 100_000, 40,
        "its model card: 40 hours on 64 A100-80GB, read as those of all 100,000 steps"),
)  # fmt: skip
