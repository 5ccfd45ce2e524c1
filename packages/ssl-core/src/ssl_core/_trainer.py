"""The training loop: one step a function of (configuration, seed, step, state), so that resuming is exact."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from ssl_core._agreement import check_agreement
from ssl_core._attention import force_attention
from ssl_core._backbone import Backbone
from ssl_core._batches import Batch, Images, Loader, seed_of
from ssl_core._checkpoints import Checkpoints
from ssl_core._config import Config
from ssl_core._distributed import barrier, mean_over_ranks, rank, whole, world_size
from ssl_core._errors import SslError
from ssl_core._files import write_bytes
from ssl_core._hf import save_encoder, save_weights
from ssl_core._images import check_image
from ssl_core._knn import Labels, probe
from ssl_core._log import Log
from ssl_core._lora import merge_adapters
from ssl_core._memory import keep_freed_memory
from ssl_core._meter import Meter
from ssl_core._monitor import advice, collapse_signs, lidar, rankme
from ssl_core._parallel import exchanging
from ssl_core._param_groups import Multipliers, param_groups
from ssl_core._place import Placed
from ssl_core._recipes import load_config
from ssl_core._report import Report
from ssl_core._schedules import cosine_schedule, warmup_schedule
from ssl_core._sizes import axes_of
from ssl_core._stop import stop_noted
from ssl_core._vit import VisionTransformer

_LOG = logging.getLogger("ssl_core")


def check_shares(config: Config, processes: int) -> None:
    """Refuse a batch that so many processes can't share.

    Raises:
        SslError: it does not divide into as many micro-batches.
    """
    train = config.train
    if train.batch_size % (processes * train.accumulate):
        raise SslError(
            f"expected train.batch_size to be a multiple of the {processes} processes that share it, times "
            f"train.accumulate = {train.accumulate}; got {train.batch_size}"
        )


class Trainer:
    """Trains an encoder into a run folder; started again on the same folder it continues exactly.

    Within a `process_group` the processes share each batch: gradients, targets and centres are those of the whole
    batch, KoLeo looks for neighbours within each process's micro-batch, and the first process writes the files.

    Args:
        config: from `load_config`.
        images: the data set, see `Images`.
        out: the run folder: `config.toml`, `metrics.jsonl`, `checkpoints/`, `encoder/`.
        device: where to compute; the default is CUDA where there is one.
        progress: called with (steps done, steps in all).
        labels: what a kNN probe should find every `train.knn_every` steps.
        backbone: an encoder of one's own instead of the one that `config.model` describes, of which `patch_size` and
            `channels` count alone. It is changed in place; `encoder/` holds its state dict under its own names.

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
        labels: Labels | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        self.config, self.images, self.out, self.progress, self.labels = config, images, Path(out), progress, labels
        self.rank, self.ranks = rank(), world_size()
        self._check()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._claim_folder()
        self._own = backbone
        train = config.train
        self._checkpoints = Checkpoints(
            self.out / "checkpoints", train.keep_checkpoints, train.keep_every, sharded=train.sharded_checkpoints
        )
        checkpoint = self._checkpoints.newest()
        resumed = checkpoint is not None
        placed = Placed(config, images, self.device, self.out, resumed=resumed, backbone=backbone)
        self.model, self._spread, self.start = placed.model, placed.spread, placed.start
        o = config.optim
        self.optimizer = torch.optim.AdamW(
            param_groups(
                self.model.student,
                layerwise_decay=o.layerwise_decay,
                patch_embed_lr=o.patch_embed_lr,
            ),
            betas=(o.beta1, o.beta2),
            fused=True,
        )
        self.step = self._checkpoints.load(checkpoint, self.model, self.optimizer) if checkpoint else 0
        self._loader = Loader(config, images, self.device, self.rank, self.ranks)
        self._open: Report | None = None
        self._stop = False
        self._bad = torch.zeros((), device=self.device)
        self._warned: set[str] = set()

    def _check(self) -> None:
        check_agreement(self.config, len(self.images))
        train, model = self.config.train, self.config.model
        if not len(self.images):
            raise SslError("expected at least one image to train on, got an empty data set")
        check_image(self.images[0], 0, model.channels, axes_of(model.patch_size))
        check_shares(self.config, self.ranks)
        if train.knn_every and self.labels is None:
            raise SslError("expected labels for the probe that train.knn_every asks for; pass labels, or leave it 0")

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

    def fit(self) -> bool:
        """Train to the configured number of steps, then export the teacher to `encoder/`.

        Returns:
            True when finished; False when SIGTERM or SIGUSR1 came: a checkpoint is saved, and the next `fit` goes on
            from it.

        Raises:
            SslError: a number is not finite; it, the step and the images are named, `failed-step-*.safetensors` holds
                the step, and the last good checkpoint stays.
        """
        train = self.config.train
        if self.device.type == "cpu":
            keep_freed_memory()
        log = self._start_log() if self.rank == 0 else None
        meter = Meter(self.config, self.device, self.ranks, counted=self._own is None)
        attention = nullcontext() if train.attention == "auto" else force_attention(train.attention)
        with stop_noted() as asked, attention:
            while self.step < train.steps and not self._stop:
                meter.count(self.step, self.train_step(stop=asked()))
                if self.progress:
                    self.progress(self.step, train.steps)
                last = self.step == train.steps
                if self.step % train.log_every == 0 or last:
                    row = {**self._settle(), **self.schedule(self.step - 1), **meter.read(), **self._probe()}
                    if log:
                        self._warn(row)
                        log.write(self.step, row)
                if self.step % train.checkpoint_every == 0 or last or self._stop:
                    self.save()
            barrier()
        if self.step < train.steps:
            return False
        self._export()
        barrier()
        return True

    def _export(self) -> None:
        backbone = self.model.teacher.backbone
        state = {name: whole(tensor) for name, tensor in backbone.state_dict().items()}
        if self.rank == 0:
            crops, folder = self.config.crops_at(self.config.train.steps), self.out / "encoder"
            state = merge_adapters(state, self.config.lora)
            if isinstance(backbone, VisionTransformer):
                save_encoder(backbone, crops, folder, state=state)
            else:
                save_weights(state, crops, self.config.model.channels, folder)

    def schedule(self, step: int) -> dict[str, float]:
        """Learning rate, weight decay, teacher momentum and teacher temperature at a step."""
        o, loss, total = self.config.optim, self.config.loss, self.config.train.steps
        lr = cosine_schedule(
            step, base=self.config.peak_lr, final=o.min_lr, total=total, warmup=min(o.warmup, total // 2)
        )
        return {
            "lr": lr,
            "backbone_lr": 0.0 if step < min(self.config.init.warmup_heads, total // 10) else lr,
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

    def train_step(self, *, stop: bool = False) -> float:
        """Draw a batch and take one step; returns the seconds waited for images.

        What the step found is looked at when the next one is under way, so that a device is never waited for.
        """
        indices, batches = self._loader.batches(self.step)
        found = self.optimise(batches, self.schedule(self.step), stop=stop)
        self._settle()
        self._open = Report(self.step, indices, batches, found)
        self.step += 1
        return self._loader.waited

    def optimise(self, batches: Sequence[Batch], values: dict[str, float], *, stop: bool = False) -> dict[str, Tensor]:
        """Forward and backward of each micro-batch, clip each submodule, step, move the teacher.

        Returns:
            Loss terms and `stop`, their means over micro-batches and processes, and `grad_norm_*` before clipping.
            Once any was not finite the student stays as it is.
        """
        autocast = self._autocast()
        temperature, count = values["teacher_temperature"], len(batches)
        self.model.renew_anchor(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast:
            targets = self.model.teach(batches, temperature)
        outputs = []
        for i, (batch, target) in enumerate(zip(batches, targets, strict=True)):
            with torch.random.fork_rng(devices=[]), exchanging(self._spread, i == count - 1):
                part = self.rank * count + i
                torch.manual_seed(seed_of(self.config.train.seed, 0, (self.step << 20) + part))  # drop path
                with autocast:
                    out = self._spread(batch, temperature, target)
                (out["loss"] / count).backward()
                out["stop"] = out["loss"].new_full((), float(stop))
                outputs.append(torch.stack([value.detach() for value in out.values()]))
        terms = mean_over_ranks(torch.stack(outputs).mean(dim=0)).unbind()
        found = dict(zip(out, terms, strict=True))
        for name, module in self.model.student.named_children():
            norm = torch.nn.utils.clip_grad_norm_(module.parameters(), self.config.optim.clip)
            found[f"grad_norm_{name}"] = whole(norm).to(self.device)  # where there is no gradient it is on the CPU
        for group in self.optimizer.param_groups:
            m: Multipliers = group["multipliers"]
            rate = "last_layer_lr" if m.is_last_layer else "backbone_lr" if m.is_backbone else "lr"
            group["lr"] = values[rate] * m.lr
            group["weight_decay"] = values["weight_decay"] * m.weight_decay
        self._bad = torch.maximum(self._bad, (~torch.isfinite(torch.stack(list(found.values())))).any().float())
        # The fused optimizer reads this, as a gradient scaler sets it: where it is 1 nothing moves.
        self.optimizer.found_inf = self._bad  # type: ignore[attr-defined]
        self.optimizer.step()
        self.model.update_teacher(values["momentum"])
        return found

    def _autocast(self) -> torch.autocast:
        half = self.config.train.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)

    def save(self) -> Path:
        """Write a checkpoint of everything the next step depends on, and drop those that are not kept.

        Raises:
            SslError: a full disk, say; what was there before stays.
        """
        self._settle()
        return self._checkpoints.save(self.step, self.model, self.optimizer, write=self.rank == 0)

    def _settle(self) -> dict[str, float]:
        """Look at what the last step found, if that wasn't done; its numbers."""
        if self._open is None:
            return {}
        self._open.refuse_if_not_finite(self.model, self.out, self.rank)
        row = self._open.read()
        self._stop = bool(row.pop("stop")) or self._stop
        return row

    def _start_log(self) -> Log:
        for words in advice(self.config, len(self.images)):
            _LOG.warning(words)
        return Log(self.out, self.config.train.logger, dataclasses.asdict(self.config), self.step)

    @torch.no_grad()
    def _probe(self) -> dict[str, float]:
        """What the teacher's class tokens of the last step's images are like, and the kNN probe if it is due."""
        assert self._open is not None

        def embed(x: Tensor) -> Tensor:
            with self._autocast():
                return self.model.embed(x).float()

        views = torch.cat([torch.stack(embed(batch.global_crops).chunk(2)) for batch in self._open.batches], dim=1)
        row = {"rankme": rankme(views.flatten(0, 1)), "lidar": lidar(views)}
        every = self.config.train.knn_every
        if every and self.labels and (self.step % every == 0 or self.step == self.config.train.steps):
            row["knn"] = probe(embed, self.images, self.labels, self.config.crops_at(self.step), self.device)
        return row

    def _warn(self, row: dict[str, float]) -> None:
        """Say once what speaks of collapse, when the learning rate has warmed up."""
        signs = collapse_signs(row, self.config.head.prototypes) if self.step > self.config.optim.warmup else {}
        for sign in signs.keys() - self._warned:
            _LOG.warning("step %d: %s", self.step, signs[sign])
            self._warned.add(sign)
