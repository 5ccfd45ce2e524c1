"""How the work of a step is computed: blocks compiled or recomputed, parameters replicated or sharded."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.utils.checkpoint import checkpoint

from ssl_core._backbone import Backbone
from ssl_core._config import TrainConfig
from ssl_core._objective import SelfDistillation

_GRAPHS = 64


def prepare_blocks(model: SelfDistillation, train: TrainConfig) -> None:
    """Compile each transformer block on its own, whole, and the loss; recompute the student's activations if asked."""
    recomputed = _blocks(model.student.backbone) if train.activation_checkpointing else []
    model.compiled = train.compile
    if train.compile:
        # Blocks share their code: a graph for each size, of student and teacher, and for what is logged.
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _GRAPHS)
        for block in _every_block(model):
            if block in recomputed:
                block.forward = torch.compile(block.forward, fullgraph=True, dynamic=False)
            else:
                block.compile(fullgraph=True, dynamic=False)
    for block in recomputed:
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)


def spread(model: SelfDistillation, train: TrainConfig, device: torch.device) -> nn.Module:
    """The model as the processes of a run share it: a copy each (`ddp`), or a part of each block each (`fsdp`)."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return model
    if train.parallel == "ddp":
        # Centres are sums over all processes already.
        return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))  # the default is of GPUs wherever there are some
    for block in _every_block(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
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
