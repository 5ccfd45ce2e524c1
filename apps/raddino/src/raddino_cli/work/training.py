"""The trainer on shards, in one process or several."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import ssl_core
import torch
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from raddino_cli.console import bar, say
from raddino_cli.work.hierarchical import export, hierarchical
from raddino_cli.work.images import EVERYTHING, Chosen, Place, training_images
from raddino_cli.work.leaks import write_training_list
from raddino_cli.work.stages import write_text

STOPPED = 128 + signal.SIGTERM
"""Exit code of a run that SIGTERM stopped: nothing is lost, and nothing that follows should take it for finished."""


def pretrain(
    shards: Place,
    out: Path,
    recipe: str,
    overrides: list[str],
    *,
    init: Path | None = None,
    init_head: Path | None = None,
    processes: int | None = None,
    stream: bool | None = None,
    chosen: Chosen = EVERYTHING,
    encoder: str = "",
) -> None:
    """Train on the split train of some shards, with a bar of its own; `init` gives the encoder weights and its shape.

    `processes` of this machine share each batch; by default one a GPU as far as the batch divides, and one that uses
    all cores without a GPU: there the threads of one process wait for each other less than processes do. Started by
    torchrun, this process is one of the run's and `processes` must be left out. `stream` reads images from the shards
    as they are needed; by default it does so where they would fill much of the memory. `chosen` says which of them.
    `encoder` names a model of timm in place of the recipe's, see `Hierarchical`.
    """
    fitting = ssl_core.start_overrides(init, init_head) if init else []
    config = ssl_core.load_config(recipe, [*fitting, *overrides])
    if processes and "RANK" in os.environ:
        raise ValueError("expected no --processes under torchrun, which starts them itself")
    count = processes or _share(config.train.batch_size)
    if "RANK" in os.environ or count == 1:
        with ssl_core.process_group() as device:
            _train(shards, out, config, device, stream, chosen, encoder)
        return
    ssl_core.check_shares(config, count)  # once, before each process would say it in its own way
    with tempfile.TemporaryDirectory() as meeting:
        work = spawn(  # type: ignore[no-untyped-call]
            _join, (count, Path(meeting), shards, out, config, stream, chosen, encoder), nprocs=count, join=False
        )
        before = signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in work.processes])
        try:
            while not work.join():
                pass
        except ProcessExitedException as error:
            if error.exit_code == STOPPED:
                raise SystemExit(STOPPED) from error
            for reason in Path(meeting).glob("error-*"):
                raise ValueError(reason.read_text("utf-8")) from error
            raise ValueError(
                f"a training process ended early ({error}); start the command again to go on from the last checkpoint"
            ) from error
        finally:
            signal.signal(signal.SIGTERM, before)


def _share(batch_size: int) -> int:
    most = max(1, torch.cuda.device_count())
    return max(n for n in range(1, most + 1) if batch_size % n == 0)


def _join(
    rank: int,
    count: int,
    meeting: Path,
    shards: Place,
    out: Path,
    config: ssl_core.Config,
    stream: bool | None,
    chosen: Chosen,
    encoder: str,
) -> None:
    """One of several processes on this machine; they meet in a folder and talk over loopback."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    try:
        with ssl_core.process_group(init_method=f"file://{meeting / 'ranks'}") as device:
            _train(shards, out, config, device, stream, chosen, encoder)
    except ValueError as error:
        write_text(meeting / f"error-{rank}", str(error))
        raise SystemExit(1) from error


def _train(
    shards: Place,
    out: Path,
    config: ssl_core.Config,
    device: torch.device,
    stream: bool | None,
    chosen: Chosen,
    encoder: str,
) -> None:
    images = training_images(shards, config.train.seed, stream=stream, processes=ssl_core.world_size(), chosen=chosen)
    first = ssl_core.rank() == 0
    with bar("pre-training") if first else nullcontext() as progress:
        own = hierarchical(encoder, config) if encoder else None
        trainer = ssl_core.Trainer(config, images, out, device=str(device), progress=progress, backbone=own)
        if first:
            write_training_list(shards, out, chosen)
        if trainer.start and first:
            say(f"started with {trainer.start}")
        finished = trainer.fit()
        if encoder and finished and first:
            export(encoder, config, out / "encoder")
    if not finished:
        if first:
            say(f"stopped by SIGTERM after step {trainer.step}, saved; the same command goes on")
        raise SystemExit(STOPPED)
