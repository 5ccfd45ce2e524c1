"""Files that are either whole or not there: written aside, synced, renamed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ssl_core._errors import SslError


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step; a crash or a full disk leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise SslError(f"could not write {path}: {error.strerror}; free space or choose another folder") from error


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, object] | None = None) -> None:
    """Safetensors with JSON metadata under the key `ssl_core`."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, {"format": "pt", "ssl_core": json.dumps(metadata or {})}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and metadata; nothing in the file is executed.

    Raises:
        SslError: missing, damaged, or not safetensors.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = (file.metadata() or {}).get("ssl_core", "{}")
        return tensors, json.loads(metadata)
    except (OSError, SafetensorError, ValueError) as error:
        raise SslError(f"{path}: expected a safetensors file, got one that can't be read ({error})") from error
