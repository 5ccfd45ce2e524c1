"""How the work of a step is computed: blocks compiled or recomputed, parameters replicated or sharded."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.utils.checkpoint import checkpoint

from ssl_core._backbone import Backbone
from ssl_core._config import TrainConfig
from ssl_core._objective import SelfDistillation


def prepare_blocks(model: SelfDistillation, train: TrainConfig) -> None:
    """Compile each transformer block on its own, whole; recompute the student's activations in the backward pass."""
    if train.activation_checkpointing:
        for block in _blocks(model.student.backbone):
            block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    if train.compile:
        for block in _every_block(model):
            block.compile(fullgraph=True, dynamic=False)


def spread(model: SelfDistillation, train: TrainConfig) -> nn.Module:
    """The model as the processes of a run share it: a copy each (`ddp`), or a part of each block each (`fsdp`)."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return model
    if train.parallel == "ddp":
        # Centres are sums over all processes already.
        return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    for block in _every_block(model):
        fully_shard(block)
    fully_shard(model)
    for method in ("teach", "embed"):
        register_fsdp_forward_method(model, method)
    return model


@contextlib.contextmanager
def exchanging(model: nn.Module, now: bool) -> Iterator[None]:
    """Whether gradients are summed over processes in the backward pass within: of a step's last micro-batch alone."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(now)
        yield
    elif isinstance(model, nn.parallel.DistributedDataParallel) and not now:
        with model.no_sync():
            yield
    else:
        yield


def _blocks(backbone: Backbone | nn.Module | None) -> list[nn.Module]:
    return list(getattr(backbone, "blocks", ()))


def _every_block(model: SelfDistillation) -> list[nn.Module]:
    return [block for b in (model.student.backbone, model.teacher.backbone, model.anchor) for block in _blocks(b)]
