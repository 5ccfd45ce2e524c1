"""One encoder's cells of a bench, each measured once and kept in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from raddino_probes import MEASURES, Comparison, Protocol, Result, compare_findings, score_findings

from raddino_cli.work import cells
from raddino_cli.work.cells import Cell, predictions_of, restored
from raddino_cli.work.features import Features, NothingToMeasureError
from raddino_cli.work.stages import Stages, named
from raddino_cli.work.targets import NUMBERS, choose_targets

_DEFAULT_METRICS = ("auroc", "average_precision", *cells.NUMBER_METRICS)


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    encoders: tuple[str, ...]
    """Specs; the others are compared with the first."""
    targets: tuple[str, ...] = ()
    """All that is known where empty."""
    metrics: tuple[str, ...] = ()
    """Where empty the protocol's, or AUROC, average precision and those of numbers."""
    protocol: str = ""
    method: str = "linear"
    patches: bool = False
    """Whether patch tokens are kept; an attentive probe needs them."""
    layers: int = 1
    """Whose class tokens probes may read, as far as an encoder has so many."""
    grid: int = 0
    """Cells a side in which probes may read averaged patch tokens, as far as an encoder has so many patches."""
    beyond: tuple[str, ...] = ()
    """Confounders."""
    by: tuple[str, ...] = ()
    shots: tuple[int, ...] = ()
    replicates: int = 1000
    short_side: int = 518
    """Of an archive that is ingested."""


class Table:
    """One encoder's cells, measured as they are asked for."""

    def __init__(
        self, spec: str, features: Features, digest: str, settings: Settings, known: Protocol | None, stages: Stages
    ) -> None:
        self.spec, self.features, self.settings, self._digest, self._stages = spec, features, settings, digest, stages
        self._found: dict[str, Cell] = {}
        wanted = settings.targets or ((*known.findings, *known.numbers) if known else ())
        self.targets = choose_targets(features, wanted)
        if not self.targets:
            raise NothingToMeasureError(
                "expected labels, sex, age or BMI in the split test, found none; name --targets"
            )
        metrics = settings.metrics or (known.metrics if known else _DEFAULT_METRICS)
        self.metrics = [name for name in MEASURES if name in metrics]

    def cell(self, name: str) -> Cell:
        """The cell of a target."""
        s = self.settings
        work = partial(cells.measure_target, self.features, name, s.method, s.replicates)
        return self._once("cell", name, (s.method,), work)

    def results(self) -> list[Result]:
        """Target by target, with what goes beyond the confounders, then the mean over labels."""
        found = []
        for name in self.targets:
            found += self._kept(self.cell(name))
            if self._confounded(name):
                found += self._kept(self._beyond(name))
        return found + self._macro()

    def confounders_alone(self) -> list[Result]:
        """A probe that knows nothing else, of each target that is not one of the confounders."""
        return [r for name in self.targets if self._confounded(name) for r in self._kept(self._beyond(name), "alone")]

    def groups(self) -> list[Result]:
        """The same by group of patients."""
        s, found = self.settings, []
        for name in self.targets if s.by else ():
            work = partial(cells.measure_groups, self.features, name, self.cell(name), s.by, s.replicates)
            found += self._kept(self._once("groups", name, (s.method, s.by), work))
        return found

    def shots(self) -> list[Result]:
        """From few images of each class."""
        s, found = self.settings, []
        for name in self.targets if s.shots else ():
            if name not in NUMBERS:
                work = partial(cells.measure_shots, self.features, name, self.cell(name), s.shots, s.replicates)
                found += restored(Result, self._once("shots", name, (s.method, s.shots), work)["results"])
        return found

    def minus(self, base: Table) -> dict[str, list[Comparison]]:
        """The same encoder less another, metric by metric, over the targets that can be told."""
        found = {}
        for metric in self.metrics:
            alike = [name for name in self.targets if (name in NUMBERS) != MEASURES[metric].binary]
            if names := [name for name in alike if not self.cell(name)["reason"]]:
                work = partial(self._compare, metric, names, base)
                of = (self.settings.method, metric, names, base._digest)
                rows = self._once("compare", f"with {base.spec} by {metric}", of, work)["results"]
                title = f"{metric}: {self.spec} minus {base.spec}"
                found[title] = restored(Comparison, rows)
        return found

    def _compare(self, metric: str, names: Sequence[str], base: Table) -> Cell:
        a, b = (np.stack([predictions_of(t.cell(n))[metric] for n in names], 1) for t in (self, base))
        truth, patients = cells.test_targets(self.features, names), cells.test_patients(self.features)
        return {"results": [asdict(line) for line in compare_findings(metric, truth, a, b, patients, names)]}

    def _kept(self, cell: Cell, part: str = "results") -> list[Result]:
        return [result for result in restored(Result, cell[part]) if result.metric in self.metrics]

    def _confounded(self, name: str) -> bool:
        return bool(self.settings.beyond) and name.partition("=")[0] not in self.settings.beyond

    def _beyond(self, name: str) -> Cell:
        s = self.settings
        work = partial(cells.measure_beyond, self.features, name, self.cell(name), s.beyond, s.replicates)
        return self._once("beyond", name, (s.method, s.beyond), work)

    def _macro(self) -> list[Result]:
        names = [name for name in self.targets if name in self.features.labels]
        if len(names) < 2:
            return []

        def work() -> Cell:
            found = [self.cell(name) for name in names]
            each = [predictions_of(cell) for cell in found]
            results = score_findings(
                {metric: np.stack([of[metric] for of in each], 1) for metric in cells.BINARY_METRICS},
                cells.test_targets(self.features, names), cells.test_patients(self.features), names,
                reasons=[cell["reason"] for cell in found], method=self.settings.method,
                replicates=self.settings.replicates,
            )  # fmt: skip
            return {"results": [asdict(result) for result in results if result.name == "macro"]}

        return self._kept(self._once("macro", "", (self.settings.method, names), work))

    def _once(self, kind: str, name: str, of: tuple[object, ...], work: Callable[[], Cell]) -> Cell:
        stage = named(f"{kind} {self.spec} {name}", self._digest, of)
        if stage not in self._found:
            self._found[stage] = self._stages.run(stage, work)
        return self._found[stage]
