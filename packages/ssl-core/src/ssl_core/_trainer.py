"""The training loop: one step a function of (configuration, seed, step, state), so that resuming is exact.

No generator's state is saved: crops, masks and drop path of a step are drawn from a generator seeded by the run's
seed and the step's number.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ssl_core._config import Config, load_config
from ssl_core._crops import make_crops
from ssl_core._distributed import barrier, mean_over_ranks, rank, world_size
from ssl_core._errors import SslError
from ssl_core._files import read_tensors, write_bytes, write_tensors
from ssl_core._grid import axes_of, patch_grid
from ssl_core._hf import save_encoder
from ssl_core._images import check_image, to_unit
from ssl_core._masking import crop_masks
from ssl_core._monitor import rankme
from ssl_core._objective import Batch, SelfDistillation
from ssl_core._param_groups import Multipliers, param_groups
from ssl_core._schedules import cosine_schedule, warmup_schedule
from ssl_core._vit import VisionTransformer, ViTConfig
from ssl_core._whitening import whiten_patch_embed

_WHITENED = 512  # images: tens of thousands of patches at the usual sizes


@runtime_checkable
class Images(Protocol):
    """A data set: image i as a tensor (C, H, W), a volume (C, D, H, W); integers of any depth or floats in [0, 1]."""

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, index: int) -> Tensor:
        """One image."""


def build(config: Config) -> SelfDistillation:
    """Student and teacher with the same fresh weights, drawn from the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        m = config.model
        backbone = VisionTransformer(
            ViTConfig(
                embed_dim=m.embed_dim,
                depth=m.depth,
                num_heads=m.num_heads,
                patch_size=m.patch_size,
                image_size=config.crops.global_size,
                channels=m.channels,
                mlp_ratio=m.mlp_ratio,
                registers=m.registers,
                layerscale=m.layerscale,
                drop_path=m.drop_path,
                init_std=m.init_std,
                sincos=m.sincos,
            )
        )
        return SelfDistillation(backbone, config.head, config.loss)


def make_batch(config: Config, images: Images, step: int, *, rank: int = 0, ranks: int = 1) -> tuple[list[int], Batch]:
    """The images and views of a step. Every image is drawn once before any is drawn again.

    The batch is shared by `ranks` processes in equal runs of images; views and masks are drawn for all of it, so that
    the whole is the same for any number of processes.
    """
    size, total, seed = config.train.batch_size, len(images), config.train.seed
    indices: list[int] = []
    orders: dict[int, list[int]] = {}
    for position in range(step * size, (step + 1) * size):
        epoch, place = divmod(position, total)
        if epoch not in orders:
            orders[epoch] = torch.randperm(total, generator=_generator(seed, 1, epoch)).tolist()
        indices.append(orders[epoch][place])
    generator = _generator(seed, 2, step)
    share = size // ranks
    mine = slice(rank * share, (rank + 1) * share)
    channels, axes = config.model.channels, axes_of(config.model.patch_size)
    units = [to_unit(check_image(images[i], i, channels, axes)) for i in indices[mine]]
    crops, local = make_crops(units, config.crops, generator, first=mine.start, total=size)
    masks = crop_masks(
        2 * size,
        patch_grid(config.crops.global_size, config.model.patch_size, "crops.global_size"),
        probability=config.masks.probability,
        ratio=config.masks.ratio,
        exact=config.masks.exact,
        generator=generator,
    )
    return indices[mine], Batch(crops, local, masks.view(2, size, -1)[:, mine].flatten(0, 1))


def start_from_patches(config: Config, images: Images, model: SelfDistillation) -> None:
    """Whiten the patch embeddings of student and teacher by the global crops of the first images of the run."""
    steps = -(-min(len(images), _WHITENED) // config.train.batch_size)
    crops = torch.cat([make_batch(config, images, step)[1].global_crops for step in range(steps)])
    for network in (model.student, model.teacher):
        whiten_patch_embed(
            network.backbone.patch_embed, crops, config.model.whitening, _generator(config.train.seed, 3, 0)
        )


def preview(config: Config, images: Images) -> dict[str, Tensor]:
    """What the student sees at step 0: `global_crops`, `local_crops` (normalised) and `masks`, crop-major."""
    _, batch = make_batch(config, images, 0)
    return {"global_crops": batch.global_crops, "local_crops": batch.local_crops, "masks": batch.masks}


def _seed(seed: int, purpose: int, number: int) -> int:
    return ((seed * 8 + purpose) << 40) + number


def _generator(seed: int, purpose: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(_seed(seed, purpose, number))


class Trainer:
    """Trains an encoder into a run folder; started again on the same folder it continues exactly.

    Within a `process_group` the processes share each batch: gradients, targets and centres are those of the whole
    batch, KoLeo looks for neighbours within each process, and the first process writes the files.

    Args:
        config: from `load_config`.
        images: the data set, see `Images`.
        out: the run folder: `config.toml`, `metrics.jsonl`, `checkpoints/`, `encoder/`.
        device: where to compute; the default is CUDA where there is one.
        progress: called with (steps done, steps in all).

    Raises:
        SslError: no images, wrong channels, a batch that the processes can't share, or a folder that holds a run of
            another configuration.
    """

    def __init__(
        self,
        config: Config,
        images: Images,
        out: str | Path,
        *,
        device: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if len(images) == 0:
            raise SslError("expected at least one image to train on, got an empty data set")
        check_image(images[0], 0, config.model.channels, axes_of(config.model.patch_size))
        self.rank, self.ranks = rank(), world_size()
        if config.train.batch_size % self.ranks:
            raise SslError(
                f"expected train.batch_size to be a multiple of the {self.ranks} processes that share it, "
                f"got {config.train.batch_size}"
            )
        self.config, self.images, self.out, self.progress = config, images, Path(out), progress
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._claim_folder()
        self.model = build(config)
        checkpoint = self._newest_checkpoint()
        if config.model.whitening and checkpoint is None:
            start_from_patches(config, images, self.model)
        self.model.to(self.device)
        self._parallel = nn.parallel.DistributedDataParallel(self.model) if self.ranks > 1 else self.model
        o = config.optim
        self.optimizer = torch.optim.AdamW(
            param_groups(
                self.model.student,
                depth=config.model.depth,
                layerwise_decay=o.layerwise_decay,
                patch_embed_lr=o.patch_embed_lr,
            ),
            betas=(o.beta1, o.beta2),
            foreach=True,
        )
        self.step = self._resume(checkpoint)

    def _claim_folder(self) -> None:
        path = self.out / "config.toml"
        if path.exists():
            changes = load_config(path).difference(self.config)
            if changes:
                raise SslError(
                    f"{self.out} holds a run of another configuration; choose another folder, or go back on: "
                    + "; ".join(changes)
                )
        elif self.rank == 0:
            write_bytes(path, self.config.to_toml().encode())
        barrier()

    def fit(self) -> None:
        """Train to the configured number of steps, then export the teacher to `encoder/`."""
        train = self.config.train
        started, first = time.perf_counter(), self.step
        while self.step < train.steps:
            row = self.train_step()
            if self.progress:
                self.progress(self.step, train.steps)
            if self.step % train.log_every == 0 or self.step == train.steps:
                done = (self.step - first) * train.batch_size
                row["images_per_second"] = round(done / (time.perf_counter() - started), 2)
                if self.rank == 0:
                    with (self.out / "metrics.jsonl").open("a") as file:
                        file.write(json.dumps(row) + "\n")
            if self.rank == 0 and (self.step % train.checkpoint_every == 0 or self.step == train.steps):
                self.save()
        if self.rank == 0:
            save_encoder(self.model.teacher.backbone, self.config.crops, self.out / "encoder")
        barrier()

    def schedule(self, step: int) -> dict[str, float]:
        """Learning rate, weight decay, teacher momentum and teacher temperature at a step."""
        o, loss, total = self.config.optim, self.config.loss, self.config.train.steps
        peak = o.base_lr * math.sqrt(self.config.train.batch_size / 1024)
        lr = cosine_schedule(step, base=peak, final=o.min_lr, total=total, warmup=min(o.warmup, total // 2))
        return {
            "lr": lr,
            "last_layer_lr": 0.0 if step < o.freeze_last_layer else lr,
            "weight_decay": cosine_schedule(step, base=o.weight_decay, final=o.weight_decay_end, total=total),
            "momentum": cosine_schedule(step, base=o.momentum, final=o.momentum_end, total=total),
            "teacher_temperature": warmup_schedule(
                step,
                start=loss.teacher_temperature_start,
                end=loss.teacher_temperature,
                warmup=loss.teacher_temperature_warmup,
            ),
        }

    def train_step(self) -> dict[str, float]:
        """Draw a batch, take one step; returns the row for metrics.jsonl.

        Raises:
            SslError: a loss term is not finite; it, the step and the images are named and nothing is saved.
        """
        indices, batch = make_batch(self.config, self.images, self.step, rank=self.rank, ranks=self.ranks)
        batch = Batch(*(t.to(self.device) for t in (batch.global_crops, batch.local_crops, batch.masks)))
        values = self.schedule(self.step)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed(self.config.train.seed, 0, self.step * 1024 + self.rank))  # drop path
            terms, norms = self.optimise(batch, values)
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if bad:
            raise SslError(
                f"step {self.step}: {', '.join(bad)} not finite for images {indices}; "
                "look at these images, lower optim.base_lr or raise optim.warmup"
            )
        self.step += 1
        row = {"step": self.step, **terms, **values, **{f"grad_norm_{k}": v for k, v in norms.items()}}
        if self.step % self.config.train.log_every == 0 or self.step == self.config.train.steps:
            with torch.no_grad():
                row["rankme"] = rankme(self.model.teacher.backbone(batch.global_crops).cls)
        return row

    def optimise(self, batch: Batch, values: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """Forward, backward, clip each submodule, step, move the teacher; loss terms and gradient norms."""
        half = self.config.train.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            out = self._parallel(batch, values["teacher_temperature"])
        self.optimizer.zero_grad(set_to_none=True)
        out["loss"].backward()
        norms = {
            name: float(torch.nn.utils.clip_grad_norm_(module.parameters(), self.config.optim.clip))
            for name, module in self.model.student.named_children()
        }
        for group in self.optimizer.param_groups:
            m: Multipliers = group["multipliers"]
            group["lr"] = values["last_layer_lr" if m.is_last_layer else "lr"] * m.lr
            group["weight_decay"] = values["weight_decay"] * m.weight_decay
        self.optimizer.step()
        self.model.update_teacher(values["momentum"])
        terms = mean_over_ranks(torch.stack([value.detach().float() for value in out.values()]))
        return dict(zip(out, terms.tolist(), strict=True)), norms

    def save(self) -> Path:
        """Write a checkpoint of everything the next step depends on, and drop the oldest beyond the limit."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for name, parameter in self.model.student.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = torch.as_tensor(value)
        path = self.out / "checkpoints" / f"step-{self.step:08d}.safetensors"
        write_tensors(path, tensors, {"step": self.step})
        for old in sorted(path.parent.glob("step-*.safetensors"))[: -self.config.train.keep_checkpoints]:
            old.unlink()
        return path

    def _newest_checkpoint(self) -> Path | None:
        return max((self.out / "checkpoints").glob("step-*.safetensors"), default=None)

    def _resume(self, checkpoint: Path | None) -> int:
        step = 0
        if checkpoint:
            tensors, metadata = read_tensors(checkpoint)
            step = int(str(metadata["step"]))
            self.model.load_state_dict(
                {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
            )
            for name, parameter in self.model.student.named_parameters():
                prefix = f"optimizer.{name}."
                state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                if state:
                    self.optimizer.state[parameter] = {
                        k: v if k == "step" else v.to(self.device) for k, v in state.items()
                    }
        self._forget_after(step)
        return step

    def _forget_after(self, step: int) -> None:
        """Drop the metrics of steps that will be taken again."""
        path = self.out / "metrics.jsonl"
        if path.exists():
            lines = path.read_text("utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
            write_bytes(path, "".join(f"{line}\n" for line in kept).encode())
