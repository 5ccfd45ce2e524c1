"""Everything the next step depends on, in one file or in a file of each process, with the teacher alone beside it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ssl_core._distributed import like, whole
from ssl_core._errors import SslError
from ssl_core._files import read_tensors, write_tensors
from ssl_core._objective import SelfDistillation
from ssl_core._shards import Shards, write_shards

_TEACHER = "model.teacher."


class Checkpoints:
    """The folder `checkpoints/` of a run: `step-*.safetensors`, and `teacher.safetensors` of the newest.

    Where `sharded`, each process writes what it holds, to a folder `step-*`; both kinds are read by any number of
    processes. The `keep` newest stay, and of the older ones those whose step is a multiple of `keep_every` (0: none).
    """

    def __init__(self, folder: Path, keep: int, keep_every: int, *, sharded: bool = False) -> None:
        self._folder, self._keep, self._every, self._sharded = folder, keep, keep_every, sharded

    def newest(self) -> Path | None:
        """What to go on from."""
        return max(self._folder.glob("step-*"), key=_step, default=None)

    def save(self, step: int, model: SelfDistillation, optimizer: torch.optim.Optimizer, *, write: bool) -> Path:
        """Write a checkpoint, then the teacher, then drop what is not kept.

        Every process of a run must call it, since parameters may lie on all of them; whole files are written by the
        one with `write`. Names of the teacher's tensors are dinov2's, `backbone.*` and `dino_head.*`.
        """
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for name, parameter in model.student.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = torch.as_tensor(value)
        path = self._folder / f"step-{step:08d}{'' if self._sharded else '.safetensors'}"
        if self._sharded:
            write_shards(path, tensors)
            tensors = {name: tensor for name, tensor in tensors.items() if name.startswith(_TEACHER)}
        gathered = _gather(tensors, write)
        if write:
            if not self._sharded:
                write_tensors(path, gathered, {"step": step})
            teacher = {k.removeprefix(_TEACHER): v for k, v in gathered.items() if k.startswith(_TEACHER)}
            write_tensors(self._folder / "teacher.safetensors", teacher, {"step": step})
            self._drop()
        return path

    def load(self, path: Path, model: SelfDistillation, optimizer: torch.optim.Optimizer) -> int:
        """Put a checkpoint's tensors in place, wherever the parameters lie; returns its step. All must call it.

        Raises:
            SslError: a damaged file, or one of another model (every key that doesn't fit is listed).
        """
        saved: _Saved = Shards(path) if path.is_dir() else _File(path)
        expected = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        states: dict[Tensor, dict[str, Tensor]] = {}
        for name, parameter in model.student.named_parameters():
            prefix = f"optimizer.{name}."
            keys = [key.removeprefix(prefix) for key in saved.shapes if key.startswith(prefix)]
            if keys:
                states[parameter] = {key: _empty(key, parameter) for key in keys}
                expected |= {prefix + key: value for key, value in states[parameter].items()}
        wrong = sorted(expected.keys() ^ saved.shapes.keys())
        wrong += [k for k in expected.keys() & saved.shapes.keys() if expected[k].shape != saved.shapes[k]]
        if wrong:
            raise SslError(f"{path}: expected a checkpoint of this run's model; these tensors differ: {wrong}")
        with torch.no_grad():
            saved.fill(expected)
        optimizer.state.update(states)
        return _step(path)

    def _drop(self) -> None:
        for old in sorted(self._folder.glob("step-*"), key=_step)[: -self._keep]:
            if not self._every or _step(old) % self._every:
                shutil.rmtree(old) if old.is_dir() else old.unlink()


class _Saved(Protocol):
    """Tensors of a checkpoint: their shapes, and a way to have them where they are wanted."""

    shapes: dict[str, torch.Size]

    def fill(self, tensors: dict[str, Tensor]) -> None:
        """Put the values into tensors."""


class _File:
    """A checkpoint in one file, which every process reads."""

    def __init__(self, path: Path) -> None:
        self._tensors, _ = read_tensors(path)
        self.shapes = {name: tensor.shape for name, tensor in self._tensors.items()}

    def fill(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            tensor.copy_(like(tensor, self._tensors[name]))


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-").removesuffix(".safetensors"))


def _empty(key: str, parameter: Tensor) -> Tensor:
    """For a value of the optimiser: its count of steps, or one number for each of a parameter's."""
    return torch.zeros((), device=parameter.device) if key == "step" else torch.zeros_like(parameter.detach())


def _gather(tensors: dict[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole tensors on the CPU of the process that keeps them, one at a time elsewhere."""
    kept = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor)
        if keep:
            kept[name] = gathered.detach().cpu()
    return kept
