"""A checkpoint in parts: each process writes what it holds, and any number of processes read what they need of it.

torch.distributed.checkpoint does the work, with safetensors as its files: its own format is a pickle, which executes
what it likes when it is read, and this one is not.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from ssl_core._distributed import barrier, rank, world_size
from ssl_core._errors import SslError
from ssl_core._files import write_bytes

_LIST = "files.json"


def write_shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Write each process's parts of some tensors to a file of its own; the folder appears whole. All must call it.

    Raises:
        SslError: in every process if one could not write.
    """
    aside = folder.with_name(f".{folder.name}.tmp")
    if rank() == 0:
        shutil.rmtree(aside, ignore_errors=True)
    barrier()
    try:
        writer = HuggingFaceStorageWriter(str(aside), save_distributed=True)
        with _alone_is_fine():
            save(dict(tensors), storage_writer=writer, no_dist=world_size() == 1)
    except CheckpointException as error:
        raise SslError(
            f"could not write {folder}: {_told(error)}; free space, or choose a folder that all processes see"
        ) from error
    if rank() == 0:
        names = sorted(path.name for path in aside.iterdir())
        write_bytes(aside / _LIST, json.dumps(names).encode())
        shutil.rmtree(folder, ignore_errors=True)
        aside.replace(folder)
    barrier()


class Shards:
    """What `write_shards` wrote; nothing in it is executed.

    Raises:
        SslError: damaged, or a part is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader = HuggingFaceStorageReader(str(folder))
        try:
            lost = [name for name in json.loads((folder / _LIST).read_bytes()) if not (folder / name).is_file()]
            found = self._reader.read_metadata().state_dict_metadata
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise SslError(f"{folder}: expected a checkpoint in safetensors files, got {error}") from error
        if lost:
            raise SslError(f"{folder}: expected all files of the checkpoint, {', '.join(lost)} missing")
        self.shapes = {name: entry.size for name, entry in found.items() if isinstance(entry, TensorStorageMetadata)}
        """Of each tensor as a whole."""

    def fill(self, tensors: dict[str, Tensor]) -> None:
        """Put the values into tensors, of which each process may hold a part; all must call it."""
        try:
            with _alone_is_fine():
                load(dict(tensors), storage_reader=self._reader, no_dist=world_size() == 1)
        except CheckpointException as error:
            raise SslError(f"{self._folder}: could not be read: {_told(error)}") from error


@contextlib.contextmanager
def _alone_is_fine() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
        yield


def _told(error: CheckpointException) -> str:
    place, (reason, _) = min(error.failures.items())
    return f"{reason} (process {place})"
