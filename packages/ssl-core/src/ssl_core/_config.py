"""A run's typed configuration: every key that a recipe or an override may set is a field below."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from ssl_core._errors import SslError
from ssl_core._sizes import Size, patch_grid


@dataclass(frozen=True)
class ModelConfig:
    """The encoder; its image size is the global crop's. A `patch_size` of three numbers is one for volumes.

    With `whitening` above 0 the patch embedding starts as a whitening of the training images' patches, with that floor
    (see `whiten_patch_embed`), instead of at random.
    """

    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    patch_size: Size = 14
    channels: int = 1
    mlp_ratio: float = 4.0
    ffn: Literal["mlp", "swiglu"] = "mlp"
    registers: int = 0
    layerscale: float = 1e-5
    drop_path: float = 0.3
    init_std: float = 0.02
    sincos: float = 0.0
    pos_offset: float = 0.1
    pos_antialias: bool = False
    whitening: float = 0.0


@dataclass(frozen=True)
class HeadConfig:
    """Projection heads; patch tokens have one of their own where `separate`, of the sizes `ibot_*` (0: the same)."""

    prototypes: int = 65536
    hidden: int = 2048
    bottleneck: int = 256
    layers: int = 3
    separate: bool = False
    ibot_prototypes: int = 0
    ibot_bottleneck: int = 0


@dataclass(frozen=True)
class LossConfig:
    """Weights, temperatures and the way targets are centred.

    With `gram_weight` above 0 (dinov3: 2) the likenesses among patches are held to those of an anchor, the teacher as
    it was at step `gram_start` and every `gram_every` steps from there (see `gram_loss`).
    """

    dino_weight: float = 1.0
    ibot_weight: float = 1.0
    koleo_weight: float = 0.1
    centring: Literal["centering", "sinkhorn_knopp"] = "centering"
    centre_momentum: float = 0.9
    student_temperature: float = 0.1
    teacher_temperature_start: float = 0.04
    teacher_temperature: float = 0.07
    teacher_temperature_warmup: int = 37500
    gram_weight: float = 0.0
    gram_start: int = 0
    gram_every: int = 10000

    def __post_init__(self) -> None:
        _in_range(
            "loss", self, {"gram_weight": (0, math.inf), "gram_start": (0, math.inf), "gram_every": (1, math.inf)}
        )


@dataclass(frozen=True)
class CropConfig:
    """Views and their distortions; sizes in pixels, scales as a share of the image's area or the volume's content.

    A size is that of a square or a cube, or [depth, height, width]. Boxes have a view's own proportions but for random
    stretches of 3/4 to 4/3, so voxels that are not cubes stay what they are.

    `flip`, `jitter`, `blur` (first global, second global, local views) and `solarise` (second global views) are
    probabilities, `rotation` the largest angle in degrees. Jitter changes brightness and contrast by up to the shares
    given, and gamma by up to a factor of exp(gamma): one after the other in random order and cut to [0, 1] after each,
    as torchvision does, or jointly and cut once. "bicubic" averages where pixels are reduced; "bilinear" does not, and
    suits images hardly larger than the views.

    The finished encoder is used at `encode_size`, 0 for the global crops' size. What fills a random crop is smaller in
    the whole image, so a size of about 1 / sqrt(mean area) times the crops' shows it as it was learned (Touvron et al.
    2019, "Fixing the train-test resolution discrepancy").

    The defaults are those of the preset "radiograph"; `crops.preset` in a recipe or an override sets those of another.
    """

    global_size: Size = 518
    global_scale: tuple[float, float] = (0.5, 1.0)
    local_size: Size = 196
    local_scale: tuple[float, float] = (0.1, 0.4)
    local_count: int = 8
    resampling: Literal["bicubic", "bilinear"] = "bicubic"
    flip: float = 0.0
    rotation: float = 5.0
    jitter: float = 0.8
    jitter_order: Literal["random", "joint"] = "joint"
    brightness: float = 0.2
    contrast: float = 0.3
    gamma: float = 0.3
    blur: tuple[float, float, float] = (0.1, 0.1, 0.5)
    solarise: float = 0.0
    mean: float = 0.5307
    std: float = 0.2583
    encode_size: Size = 0

    def __post_init__(self) -> None:
        _in_range(
            "crops",
            self,
            {
                "global_scale": (1e-6, 1),
                "local_scale": (1e-6, 1),
                "local_count": (0, math.inf),
                "flip": (0, 1),
                "rotation": (0, 180),
                "jitter": (0, 1),
                "brightness": (0, 1),
                "contrast": (0, 1),
                "gamma": (0, math.inf),
                "solarise": (0, 1),
                "std": (1e-6, math.inf),
            },
        )
        for share in self.blur:
            if not 0 <= share <= 1:
                raise SslError(f"crops.blur must be three probabilities, got {list(self.blur)}")


@dataclass(frozen=True)
class MaskConfig:
    """Which share of global crops is masked, and how much of each.

    With `exact` every step hides the same number of patches: each masked crop as many as the upper edge of its bin of
    `ratio` says, the last of them one by one at random (as dinov3 does), so shapes are static.
    """

    probability: float = 0.5
    ratio: tuple[float, float] = (0.1, 0.5)
    exact: bool = False

    def __post_init__(self) -> None:
        _in_range("masks", self, {"probability": (0, 1), "ratio": (0, 1)})


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule; counts are steps. The rate is base_lr * sqrt(batch / 1024)."""

    base_lr: float = 0.004
    min_lr: float = 1e-6
    warmup: int = 12500
    weight_decay: float = 0.04
    weight_decay_end: float = 0.4
    beta1: float = 0.9
    beta2: float = 0.999
    clip: float = 3.0
    freeze_last_layer: int = 1250
    layerwise_decay: float = 0.9
    patch_embed_lr: float = 0.2
    momentum: float = 0.992
    momentum_end: float = 1.0


@dataclass(frozen=True)
class HighResConfig:
    """The last `steps` steps at larger crops: dinov2's phase of high resolution (Oquab et al. 2023, section 5)."""

    steps: int = 0
    global_size: Size = 518
    local_size: Size = 196


@dataclass(frozen=True)
class TrainConfig:
    """Length, batch, how it is computed, and bookkeeping.

    `batch_size` is of a step, of all processes together; each takes its share in `accumulate` micro-batches. Of the
    checkpoints the `keep_checkpoints` newest stay and, where `keep_every` is not 0, those at its multiples; with
    `sharded_checkpoints` each process writes the part that it holds.
    """

    steps: int = 125000
    batch_size: int = 64
    accumulate: int = 1
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    parallel: Literal["ddp", "fsdp"] = "ddp"
    attention: Literal["auto", "sdpa", "plain", "varlen", "xformers"] = "auto"
    compile: bool = False
    activation_checkpointing: bool = False
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    keep_every: int = 0
    sharded_checkpoints: bool = False
    log_every: int = 10
    knn_every: int = 0
    logger: Literal["none", "tensorboard", "mlflow", "wandb"] = "none"


@dataclass(frozen=True)
class InitConfig:
    """Weights that a run starts from, see `read_source`; none by default.

    Heads come from `head`, a file, else with the weights where they have some; `fresh` leaves those out. While the
    heads warm up, for at most a tenth of the run, the backbone stays as it came.
    """

    weights: str = ""
    head: str = ""
    warmup_heads: int = 0


@dataclass(frozen=True)
class LoraConfig:
    """Adapters of `rank` (0: none, the whole encoder learns) on the linear layers whose names match `targets`."""

    rank: int = 0
    alpha: float = 16.0
    targets: str = r"attn\.(qkv|proj)$"

    def __post_init__(self) -> None:
        _in_range("lora", self, {"rank": (0, math.inf)})
        try:
            re.compile(self.targets)
        except re.error as error:
            raise SslError(f"lora.targets must be a regular expression, got {self.targets!r} ({error})") from error


@dataclass(frozen=True)
class Config:
    """Everything that a run is a function of, besides its data."""

    model: ModelConfig = field(default_factory=ModelConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    crops: CropConfig = field(default_factory=CropConfig)
    masks: MaskConfig = field(default_factory=MaskConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    high_res: HighResConfig = field(default_factory=HighResConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    init: InitConfig = field(default_factory=InitConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)

    def __post_init__(self) -> None:
        keys = ["crops.global_size", "crops.local_size", "crops.encode_size"]
        if self.high_res.steps:
            keys += ["high_res.global_size", "high_res.local_size"]
        for key in keys:
            patch_grid(self._value(key), self.model.patch_size, key)
        if not self.head.separate and (self.head.ibot_prototypes or self.head.ibot_bottleneck):
            raise SslError(
                "head.ibot_prototypes and head.ibot_bottleneck are sizes of a separate head; "
                "set head.separate=true, or both to 0"
            )
        if (self.init.head or self.init.warmup_heads) and not self.init.weights:
            raise SslError("init.head and init.warmup_heads go with the encoder of init.weights, got none")
        if self.init.weights and self.model.whitening:
            raise SslError(
                "model.whitening would overwrite the patch embedding of init.weights; set one of them to none"
            )
        if self.train.batch_size < 2 and self.loss.koleo_weight:
            raise SslError(
                "KoLeo needs a batch of at least 2 images, got train.batch_size = 1; set loss.koleo_weight=0"
            )
        if self.train.attention == "varlen" and self.train.precision == "float32":
            raise SslError("train.attention=varlen computes in half precision alone; set train.precision=bfloat16")
        counts = ("steps", "batch_size", "accumulate", "checkpoint_every", "keep_checkpoints", "log_every")
        for key in (f"train.{name}" for name in counts):
            if self._value(key) < 1:
                raise SslError(f"{key} must be at least 1, got {self._value(key)}")

    def _value(self, key: str) -> Any:
        section, name = key.split(".")
        return getattr(getattr(self, section), name)

    @property
    def peak_lr(self) -> float:
        """The learning rate after its warm-up, by the rule of `OptimConfig`."""
        return self.optim.base_lr * math.sqrt(self.train.batch_size / 1024)

    def crops_at(self, step: int) -> CropConfig:
        """The crops of a step: larger ones in the last phase, if there is one."""
        if not self.high_res.steps or step < self.train.steps - self.high_res.steps:
            return self.crops
        return dataclasses.replace(
            self.crops, global_size=self.high_res.global_size, local_size=self.high_res.local_size
        )

    def to_toml(self) -> str:
        """The fully resolved configuration; `load_config` reads it back to an equal one."""
        lines = []
        for section, values in dataclasses.asdict(self).items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
            lines.append("")
        return "\n".join(lines)

    def difference(self, other: Config) -> list[str]:
        """Keys whose values differ, as `key: mine -> theirs`."""
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return [
            f"{section}.{key}: {value!r} -> {theirs[section][key]!r}"
            for section, values in mine.items()
            for key, value in values.items()
            if value != theirs[section][key]
        ]


def _in_range(section: str, config: object, limits: dict[str, tuple[float, float]]) -> None:
    """A number, or a low and a high one, within its limits; NaN is not."""
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        least, most = value if isinstance(value, tuple) else (value, value)
        if not low <= least <= most <= high:
            kind = "two rising numbers" if isinstance(value, tuple) else "a number"
            raise SslError(f"{section}.{name} must be {kind} from {low:g} to {high:g}, got {value}")
