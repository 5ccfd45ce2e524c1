"""Processes of one run that differ in software, configuration or data would train nonsense; they say so at once."""

from __future__ import annotations

import dataclasses
import logging
import platform
import socket
import time
from importlib.metadata import version

import torch
import torch.distributed as dist

from ssl_core._config import Config
from ssl_core._distributed import barrier, world_size
from ssl_core._errors import SslError

_LOG = logging.getLogger("ssl_core")
_CLOCKS = 5.0  # seconds between clocks from which times of logs and files mislead


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a process trains with."""

    host: str
    software: dict[str, str]
    config: Config
    images: int
    clock: float = 0.0
    """Seconds since the epoch."""


def check_agreement(config: Config, images: int) -> None:
    """Compare this process with the others; all must call it.

    Raises:
        SslError: in every process, naming the first that differs from process 0, and in what.
    """
    if world_size() == 1:
        return
    software = {"python": platform.python_version(), "torch": torch.__version__, "ssl-core": version("ssl-core")}
    barrier()  # so that the clocks are read at one time
    mine = Facts(socket.gethostname(), software, config, images, time.time())
    everyone: list[Facts] = [mine] * world_size()
    dist.all_gather_object(everyone, mine)
    refuse_difference(everyone)
    if dist.get_rank() == 0 and (words := clock_warning(everyone)):
        _LOG.warning(words)


def refuse_difference(everyone: list[Facts]) -> None:
    """Nothing where all have the same software, configuration and number of images.

    Raises:
        SslError: naming the first that differs from process 0, and in what.
    """
    first = everyone[0]
    for number, other in enumerate(everyone):
        changes = [
            f"{name} {first.software[name]} -> {it}"
            for name, it in other.software.items()
            if it != first.software[name]
        ]
        changes += first.config.difference(other.config)
        if first.images != other.images:
            changes.append(f"images {first.images} -> {other.images}")
        if changes:
            raise SslError(
                "expected all processes to have the same software, configuration and images; process 0 on "
                f"{first.host} -> process {number} on {other.host}: {'; '.join(changes)}"
            )


def clock_warning(everyone: list[Facts]) -> str:
    """A sentence where clocks that were read at one time are far apart; else none."""
    earliest, *_, latest = sorted(everyone, key=lambda facts: facts.clock)
    apart = latest.clock - earliest.clock
    if apart < _CLOCKS:
        return ""
    return (
        f"the clock of {latest.host} is {apart:.0f} s ahead of that of {earliest.host}; training doesn't mind, but "
        "times in logs and of files can't be compared: synchronise them"
    )
