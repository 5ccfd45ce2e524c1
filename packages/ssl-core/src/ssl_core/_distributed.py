"""One run on several processes: who am I, and sums over all of us. Alone, everything here is the identity."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore
from torch.distributed.tensor import DTensor, distribute_tensor

from ssl_core._errors import SslError


def rank() -> int:
    """Number of this process, 0 if it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes share the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of every process's `x`, in place; all must call it."""
    if world_size() > 1:
        dist.all_reduce(x)
    return x


def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean of every process's `x`, in place; all must call it."""
    return sum_over_ranks(x) / world_size()


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        dist.barrier()


def max_over_ranks(x: Tensor) -> Tensor:
    """The element-wise maximum of every process's `x`, in place; all must call it."""
    if world_size() > 1:
        dist.all_reduce(x, dist.ReduceOp.MAX)
    return x


@contextlib.contextmanager
def process_group(
    *, device: str | None = None, init_method: str = "env://", timeout: float | None = None
) -> Iterator[torch.device]:
    """Join the run that RANK and WORLD_SIZE speak of, as torchrun sets them, and leave it at the end.

    Without these variables the process is alone and nothing is joined.

    Args:
        device: `cpu` or `cuda`; the default is CUDA where there is one, numbered by LOCAL_RANK.
        init_method: where processes meet, as for `torch.distributed.init_process_group`.
        timeout: seconds that others are waited for, to meet and at each exchange; the default is torch's.

    Yields:
        The device to train on.

    Raises:
        SslError: RANK without WORLD_SIZE, or the other way round, or the others can't be reached.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    place = torch.device(kind, int(os.environ.get("LOCAL_RANK", 0))) if kind == "cuda" else torch.device(kind)
    found = [name for name in ("RANK", "WORLD_SIZE") if name in os.environ]
    if not found:
        yield place
        return
    if len(found) == 1:
        raise SslError(f"expected RANK and WORLD_SIZE together, as torchrun sets them; found {found[0]} alone")
    if kind == "cuda":
        torch.cuda.set_device(place)
    try:
        store = _store_of_restart() if init_method == "env://" else None
        dist.init_process_group(
            "nccl" if kind == "cuda" else "gloo",
            init_method=None if store else init_method,
            store=store,
            timeout=None if timeout is None else timedelta(seconds=timeout),
            rank=int(os.environ["RANK"]),
            world_size=int(os.environ["WORLD_SIZE"]),
        )
    except dist.DistError as error:
        where = "MASTER_ADDR:MASTER_PORT = " + ":".join(os.environ.get(f"MASTER_{it}", "?") for it in ("ADDR", "PORT"))
        raise SslError(
            f"expected {os.environ['WORLD_SIZE']} processes to meet at {where}; process {os.environ['RANK']} did not "
            f"meet them ({str(error).splitlines()[0]})"
        ) from error
    try:
        yield place
    finally:
        dist.destroy_process_group()


def _store_of_restart() -> Store | None:
    """Where processes meet that one torchrun started: a place of its own for each restart.

    torch 2.14 keeps one store over restarts, and in it addresses of processes that are dead. On several hosts, whose
    counts of restarts may differ, TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 gives each restart a store of its own.
    """
    known = os.environ
    if known.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or known.get("GROUP_WORLD_SIZE") != "1":
        return None
    store = TCPStore(known["MASTER_ADDR"], int(known["MASTER_PORT"]), is_master=False)
    return PrefixStore(f"restart-{known['TORCHELASTIC_RESTART_COUNT']}", store)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process may hold a part; all must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(pattern: Tensor, tensor: Tensor) -> Tensor:
    """A whole tensor as the part of it, and on the device, that `pattern` has in this process."""
    tensor = tensor.to(pattern.device)
    if isinstance(pattern, DTensor):
        # Every process has the whole, so none needs to be sent its part.
        return distribute_tensor(tensor, pattern.device_mesh, pattern.placements, src_data_rank=None)
    return tensor


@torch.no_grad()
def fill(parameter: Tensor, draw: Callable[[Tensor], object]) -> None:
    """Give a tensor, of which each process may hold a part, what `draw` puts into a whole one on the CPU."""
    if isinstance(parameter, DTensor):
        tensor = torch.empty(parameter.shape, dtype=parameter.dtype)
        draw(tensor)
        parameter.copy_(like(parameter, tensor))
    else:
        draw(parameter)
