"""Everything the next step depends on, in one safetensors file, with the teacher alone beside it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ssl_core._distributed import like, whole
from ssl_core._errors import SslError
from ssl_core._files import read_tensors, write_tensors
from ssl_core._objective import SelfDistillation


class Checkpoints:
    """The folder `checkpoints/` of a run: `step-*.safetensors`, and `teacher.safetensors` of the newest.

    The `keep` newest stay, and of the older ones those whose step is a multiple of `keep_every` (0: none).
    """

    def __init__(self, folder: Path, keep: int, keep_every: int) -> None:
        self._folder, self._keep, self._every = folder, keep, keep_every

    def newest(self) -> Path | None:
        """The file to go on from."""
        return max(self._folder.glob("step-*.safetensors"), default=None)

    def save(self, step: int, model: SelfDistillation, optimizer: torch.optim.Optimizer, *, write: bool) -> Path:
        """Write a checkpoint, then the teacher, then drop what is not kept.

        Every process of a run must call it, since parameters may lie on all of them; those with `write` do so. Names
        of the teacher's tensors are dinov2's, `backbone.*` and `dino_head.*`.
        """
        tensors = {f"model.{name}": whole(tensor) for name, tensor in model.state_dict().items()}
        for name, parameter in model.student.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = whole(torch.as_tensor(value))
        path = self._folder / f"step-{step:08d}.safetensors"
        if write:
            write_tensors(path, tensors, {"step": step})
            prefix = "model.teacher."
            teacher = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            write_tensors(self._folder / "teacher.safetensors", teacher, {"step": step})
            self._drop()
        return path

    def load(self, path: Path, model: SelfDistillation, optimizer: torch.optim.Optimizer) -> int:
        """Put a checkpoint's tensors in place, wherever the parameters lie; returns its step.

        Raises:
            SslError: a damaged file, or one of another model (every key that doesn't fit is listed).
        """
        tensors, metadata = read_tensors(path)
        expected = model.state_dict()
        found = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        wrong = sorted(expected.keys() ^ found.keys())
        wrong += [k for k in expected.keys() & found.keys() if expected[k].shape != found[k].shape]
        if wrong or "step" not in metadata:
            raise SslError(f"{path}: expected a checkpoint of this run's model; these tensors differ: {wrong}")
        with torch.no_grad():
            for name, tensor in expected.items():
                tensor.copy_(like(tensor, found[name]))
        for name, parameter in model.student.named_parameters():
            prefix = f"optimizer.{name}."
            state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if state:
                optimizer.state[parameter] = {k: _placed(k, v, parameter) for k, v in state.items()}
        return int(str(metadata["step"]))

    def _drop(self) -> None:
        for old in sorted(self._folder.glob("step-*.safetensors"))[: -self._keep]:
            if not self._every or int(old.stem.removeprefix("step-")) % self._every:
                old.unlink()


def _placed(key: str, value: Tensor, parameter: Tensor) -> Tensor:
    return value.to(parameter.device) if key == "step" else like(parameter, value)
