"""What a step found, on its way from the device; and what is left of a step that went wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ssl_core._batches import Batch
from ssl_core._errors import SslError
from ssl_core._files import write_tensors
from ssl_core._objective import SelfDistillation


class Report:
    """Numbers of a step (one each, 0-dimensional) whose copying began; `read` waits for them.

    Read when the next step is under way, a device is never waited for.
    """

    def __init__(
        self, step: int, indices: Sequence[int], batches: Sequence[Batch], values: Mapping[str, Tensor]
    ) -> None:
        self.step, self.indices, self.batches = step, indices, batches
        self._names = list(values)
        stacked = torch.stack(list(values.values())).detach()
        self._copy = stacked.to("cpu", non_blocking=True)
        self._copied = torch.cuda.Event() if stacked.is_cuda else None  # type: ignore[no-untyped-call]
        if self._copied:
            self._copied.record(torch.cuda.current_stream(stacked.device))

    def read(self) -> dict[str, float]:
        """The numbers by name."""
        if self._copied:
            self._copied.synchronize()
        return dict(zip(self._names, self._copy.tolist(), strict=True))

    def refuse_if_not_finite(self, model: SelfDistillation, folder: Path, rank: int) -> None:
        """Nothing if all numbers are finite; else keep the step in `folder` and stop the run.

        `failed-step-*.safetensors` has the views, masks and weights; no weight has moved since the step.

        Raises:
            SslError: naming the terms, the step, the images and the file.
        """
        bad = [name for name, value in self.read().items() if not math.isfinite(value)]
        if not bad:
            return
        path = folder / f"failed-step-{self.step:08d}-rank-{rank}.safetensors"
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for i, batch in enumerate(self.batches):
            tensors |= {f"batch.{i}.{name}": getattr(batch, name) for name in ("global_crops", "local_crops", "masks")}
        write_tensors(path, tensors, {"step": self.step, "images": list(self.indices), "not_finite": bad})
        raise SslError(
            f"step {self.step}: {', '.join(bad)} not finite for images {list(self.indices)}; look at these images, "
            f"lower optim.base_lr or raise optim.warmup. Views, masks and weights of the step are in {path}"
        )
