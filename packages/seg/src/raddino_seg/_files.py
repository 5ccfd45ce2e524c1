"""Safetensors that are whole or not there, with what they mean as JSON beside the tensors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from raddino_seg._errors import SegError

_KEY = "raddino_seg"


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step; a crash or a full disk leaves the old one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise SegError(f"could not write {path}: {error.strerror}; free space or choose another folder") from error


def write_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and facts."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, {_KEY: json.dumps(facts)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_tensors` wrote; nothing in the file is executed.

    Raises:
        SegError: missing, damaged, or another kind of file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
            return tensors, json.loads(file.metadata()[_KEY])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise SegError(f"expected a file written by raddino-seg at {path}: {error}") from error
