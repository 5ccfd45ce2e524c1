"""What every model is: inputs to logits, logits to masks at the size that is asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from raddino_seg._errors import SegError
from raddino_seg._files import write_tensors
from raddino_seg._levels import upsample
from raddino_seg._masks import Masks

FORMAT = 2


class Model(nn.Module):
    """Logits (B, K, ., .) of inputs (B, ...): background and the classes, or the classes alone where they overlap."""

    kind: ClassVar[str]
    learning_rate: float
    """What suits it, where none is given."""

    def __init__(self, classes: Iterable[str], overlapping: bool) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.overlapping = overlapping

    @property
    def outputs(self) -> int:
        """Number K of logits."""
        return len(self.classes) + (not self.overlapping)

    @abstractmethod
    def check(self, inputs: Any) -> Tensor:
        """Inputs as a tensor, or a SegError."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What `load` needs to build it, besides weights."""

    def groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Parameters for the optimiser, each group with its `rate`."""
        return [{"params": [p for p in self.parameters() if p.requires_grad], "rate": learning_rate}]

    def probabilities(self, inputs: Any, size: tuple[int, int], batch_size: int = 64) -> Tensor:
        """Chance (N, C, H, W) of each class at each pixel, logits enlarged bilinearly."""
        return torch.cat(list(self._each(inputs, size, batch_size, self.chance)))

    def predict(self, inputs: Any, size: tuple[int, int], batch_size: int = 64) -> Masks:
        """Label maps (N, H, W) of the strongest class, or planes (N, C, H, W) of chances above a half."""
        return torch.cat(list(self._each(inputs, size, batch_size, self.decide))).numpy()

    def chance(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes."""
        return logits.sigmoid() if self.overlapping else logits.softmax(1)[:, 1:]

    def decide(self, logits: Tensor) -> Tensor:
        """Masks out of logits."""
        return logits > 0 if self.overlapping else logits.argmax(1).to(torch.uint8)

    def save(self, path: str | Path) -> None:
        """Write weights and description as one safetensors file, whole or not at all."""
        facts = {
            "format": FORMAT,
            "kind": self.kind,
            "classes": self.classes,
            "overlapping": self.overlapping,
            **self.describe(),
        }
        write_tensors(Path(path), self.state_dict(), facts)

    @torch.no_grad()
    def _each(
        self, inputs: Any, size: tuple[int, int], batch_size: int, finish: Callable[[Tensor], Tensor]
    ) -> Iterator[Tensor]:
        was = self.training
        self.eval()
        device = next(self.parameters()).device
        for part in torch.split(self.check(inputs), batch_size):
            yield finish(upsample(self(part.to(device)), size)).cpu()
        self.train(was)


def as_images(images: Any) -> Tensor:
    """Images (N, channels, H, W), float32, as an encoder or a U-Net reads them.

    Raises:
        SegError: another shape or type.
    """
    tensor = torch.as_tensor(images)
    if tensor.ndim != 4 or tensor.dtype != torch.float32:
        raise SegError(f"expected float32 images (N, channels, H, W), got {tensor.dtype} of {tuple(tensor.shape)}")
    return tensor
