"""Where a run's metrics go: `metrics.jsonl` always, and one tracker if the configuration names it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssl_core._errors import SslError
from ssl_core._files import write_bytes

Row = dict[str, float]
_PACKAGES = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow", "wandb": "wandb"}


def _tracker(name: str, out: Path, settings: dict[str, Any]) -> Callable[[int, Row], None] | None:
    if name == "none":
        return None
    try:
        library = importlib.import_module(_PACKAGES[name])
    except ImportError as error:
        raise SslError(
            f"train.logger={name} needs a package; install it with: pip install 'ssl-core[{name}]'"
        ) from error
    if name == "tensorboard":
        writer = library.SummaryWriter(str(out / "tensorboard"))

        def to_tensorboard(step: int, row: Row) -> None:
            for key, value in row.items():
                writer.add_scalar(key, value, step)
            writer.flush()

        return to_tensorboard
    if name == "mlflow":
        library.start_run(run_name=out.name)
        library.log_dict(settings, "config.json")
        return lambda step, row: library.log_metrics(row, step=step)
    run = library.init(dir=str(out), name=out.name, config=settings, id=out.name, resume="allow")
    return lambda step, row: run.log(row, step=step)


class Log:
    """Appends rows; what was logged after the step a run goes on from is dropped first."""

    def __init__(self, out: Path, tracker: str, settings: dict[str, Any], step: int) -> None:
        self._path = out / "metrics.jsonl"
        if self._path.exists():
            lines = self._path.read_text("utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
            write_bytes(self._path, "".join(f"{line}\n" for line in kept).encode())
        self._track = _tracker(tracker, out, settings)

    def write(self, step: int, row: Row) -> None:
        """One row, on disk before this returns."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **row}) + "\n")
        if self._track:
            self._track(step, row)
