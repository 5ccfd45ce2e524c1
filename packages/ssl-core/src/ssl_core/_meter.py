"""How fast a run goes, and what it waits for."""

from __future__ import annotations

import time

import torch

from ssl_core._config import Config
from ssl_core._flops import matmul_speed, step_flops
from ssl_core._monitor import peak_memory


class Meter:
    """Speed since the last reading, of one of `ranks` processes; operations are `counted` of the built-in encoder."""

    def __init__(self, config: Config, device: torch.device, ranks: int, *, counted: bool = True) -> None:
        self._config, self._device, self._ranks = config, device, ranks
        half = config.train.precision == "bfloat16"
        self._peak = matmul_speed(device, torch.bfloat16 if half else torch.float32) if counted else 0.0
        self._steps, self._waited, self._flops, self._since = 0, 0.0, 0.0, time.perf_counter()

    def count(self, step: int, waited: float) -> None:
        """A step was taken, `waited` seconds of it for images."""
        self._steps += 1
        self._waited += waited
        if self._peak:
            self._flops += step_flops(self._config, step)["total"] / self._ranks

    def read(self) -> dict[str, float]:
        """`images_per_second` of all processes, `data_wait` (share of time), `utilisation`, `peak_memory` (GiB).

        Utilisation is the operations that the model asks for (`step_flops`) over what a plain matrix product of the
        same precision does here in the same time.
        """
        now = time.perf_counter()
        spent = max(now - self._since, 1e-9)
        row = {
            "images_per_second": round(self._steps * self._config.train.batch_size / spent, 2),
            "data_wait": round(self._waited / spent, 4),
            "peak_memory": round(peak_memory(self._device), 3),
        }
        if self._peak:
            row["utilisation"] = round(self._flops / spent / self._peak, 4)
        self._steps, self._waited, self._flops, self._since = 0, 0.0, 0.0, now
        return row
