"""What a study's runs say: each level against its factor's base, paired by seed and by test patient, and in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from raddino_probes import AcrossSeeds, across_seeds

from raddino_cli.studies.measuring import FINDINGS, MASK, Measured
from raddino_cli.studies.runs import Levels, batch_size, combinations, of_one_seed
from raddino_cli.studies.study import DEFAULTS, Claim, Factor, Study, is_untrained, outcomes, scale_of
from raddino_cli.work.stages import plain

SUPPORTS, CONTRADICTS, UNTOLD = "supports", "contradicts", "can't tell"
Found = Mapping[tuple[Levels, int], Measured]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """One level in one outcome: its value, and the difference from the base; or the `reason` why there is none."""

    factor: str
    level: str
    on: str
    metric: str = ""
    value: AcrossSeeds | None = None
    difference: AcrossSeeds | None = None
    """None for the base itself."""
    reason: str = ""


@dataclass(frozen=True)
class Law:
    """A power law fitted to the levels: the error, 1 - metric, falls as `scale` to the power of -`exponent`."""

    factor: str
    on: str
    scale: str
    exponent: AcrossSeeds
    reason: str = ""
    """Why it tells nothing, or "" where it does."""


@dataclass(frozen=True)
class Verdict:
    """What the study says of a claim or, where a factor has none, of the factor."""

    factor: str
    says: str
    sentence: str


@dataclass(frozen=True)
class Analysis:
    """All of it; `problem` is why the study is too small to tell anything, or ""."""

    effects: list[Effect]
    laws: list[Law]
    verdicts: list[Verdict]
    problem: str


def analyse(study: Study, found: Found, *, replicates: int = 1000) -> Analysis:
    """Effects, laws and verdicts; metrics are AUROC, R2 and Dice, so more is better."""
    problem = too_small(study)
    tables = {on: _Table(study, found, on, replicates) for on in outcomes(study)}
    effects = [
        _effect(study, i, level, table)
        for i, factor in enumerate(study.factors)
        for table in tables.values()
        for level in dict.fromkeys((factor.base, *factor.levels))
    ]
    doubts = _Doubts(problem, _unlearnt(study, effects), _brief(study))
    laws = [
        Law(factor.name, on, factor.scale, exponent, doubts.of_law(factor, on))
        for i, factor in enumerate(study.factors)
        for on, table in tables.items()
        if factor.scale and (exponent := _exponent(study, i, table))
    ]
    verdicts = [verdict for factor in study.factors for verdict in _verdicts(factor, effects, doubts)]
    return Analysis(effects, laws, verdicts, problem)


@dataclass(frozen=True)
class _Doubts:
    """Why a difference that leaves out zero may yet tell nothing."""

    problem: str
    """Of the whole study, or ""."""
    unlearnt: frozenset[str]
    """Outcomes in which the base is not told to be better than untrained weights."""
    brief: Mapping[tuple[str, str], str]
    """By factor and level, why it is too short to compare."""

    def of(self, factor: Factor, effect: Effect) -> str:
        """The first of them that holds, or ""."""
        if is_untrained(factor, effect.level):
            return self._whole()
        is_worse = effect.difference is not None and effect.difference.value < 0
        lost = self._lost(factor, effect.on) if is_worse else ""
        return self._whole() or self.brief.get((factor.name, effect.level), "") or lost

    def of_law(self, factor: Factor, on: str) -> str:
        """Why a law tells nothing, or ""."""
        brief = (why for level in factor.levels if (why := self.brief.get((factor.name, level))))
        return self._whole() or self._lost(factor, on) or next(brief, "")

    def _whole(self) -> str:
        return f"the study is too small: {self.problem}" if self.problem else ""

    def _lost(self, factor: Factor, on: str) -> str:
        return f"in {on} {factor.base} is not told to be better than untrained weights" if on in self.unlearnt else ""


def _unlearnt(study: Study, effects: Sequence[Effect]) -> frozenset[str]:
    """Outcomes in which the base is not told to be better than untrained weights, where a level has none but those."""
    levels = {(f.name, name) for f in study.factors for name in f.levels if is_untrained(f, name)}
    return frozenset(
        effect.on
        for effect in effects
        if (effect.factor, effect.level) in levels
        and not ((apart := effect.difference) and apart.leaves_out_zero and apart.value < 0)
    )


def _brief(study: Study) -> dict[tuple[str, str], str]:
    """Levels that ask for no share of the steps and see fewer images than the base in the study's least steps."""
    base, *others = of_one_seed(study)
    least, found = study.least_steps * batch_size(base.settings), {}
    for run in others:
        own = [(f.name, level) for f, level in zip(study.factors, run.levels, strict=True) if level != f.base]
        steps, size = run.settings["train.steps"], batch_size(run.settings)
        if len(own) == 1 and run.settings["pretrain.steps_share"] == 1 and steps * size < least:
            found[own[0]] = f"{steps} steps of {size} images are too few for {own[0][1]}"
    return found


def too_small(study: Study) -> str:
    """Why no difference could be told from noise, or ""."""
    steps = of_one_seed(study)[0].settings["train.steps"]
    if steps < study.least_steps:
        return f"{steps} steps of training, and below {study.least_steps} too little is learnt to differ"
    if len(study.seeds) < 2:
        return "one seed, which says nothing of how much the next would differ"
    return ""


class _Table:
    """One outcome of all runs."""

    def __init__(self, study: Study, found: Found, on: str, replicates: int) -> None:
        self.on, self._found, self._seeds, self._replicates = on, found, study.seeds, replicates
        self._known: dict[Any, AcrossSeeds] = {}
        first = next(iter(found.values()))
        if on in (DEFAULTS | study.base)["evaluate.masks"]:
            self._columns = [MASK + on]
        elif on == FINDINGS:
            # Of a collapsed encoder no label can be told; of the others those that the data allow.
            self._columns = min((run[on].get("labels", [on]) for run in found.values()), key=len)
        else:
            spelt = {plain(word): word for word in first if not word.startswith(MASK)}
            self._columns = [spelt[plain(name)] for name in on.split("+")]

    def reason(self, models: Sequence[Levels]) -> str:
        """Why the outcome of some models can't be told, or ""."""
        runs = [self._found[levels, seed] for levels in models for seed in self._seeds]
        entries = [run[column] for run in runs for column in self._columns]
        metrics = sorted({entry.get("metric", "") for entry in entries})
        reasons = [entry["reason"] for entry in entries if "reason" in entry]
        return reasons[0] if reasons else f"a mean of {' and '.join(metrics)}" if len(metrics) > 1 else ""

    def metric(self) -> str:
        """The name of what is measured, where it can be."""
        return next((m for run in self._found.values() if (m := run[self._columns[0]].get("metric"))), "")

    def across(self, models: Sequence[Levels], name: str, of: Callable[[Array], Array]) -> AcrossSeeds:
        """A combination of the metric of some models; `name` tells combinations apart."""
        key = (tuple(models), name)
        if key not in self._known:
            runs = [[self._found[levels, seed] for seed in self._seeds] for levels in models]
            first = runs[0][0][self._columns[0]]
            predictions = np.array([[self._part(run, "predictions") for run in seeds] for seeds in runs])
            truth = self._part(runs[0][0], "truth")
            for run in (run for seeds in runs for run in seeds):
                if run[self._columns[0]]["patients"] != first["patients"]:
                    raise ValueError("expected the same test images in all runs; an ingest left out others")
            truth[np.isnan(predictions).any((0, 1))] = np.nan
            metric = _mean if self.metric() == "dice" else self.metric()
            predictions = np.nan_to_num(predictions)
            self._known[key] = across_seeds(
                metric, truth, predictions, first["patients"], of, replicates=self._replicates
            )
        return self._known[key]

    def _part(self, run: Measured, name: str) -> Array:
        """(N, L) of a run."""
        return np.array([run[column][name] for column in self._columns], np.float64).T


def _mean(_truth: Array, values: Array) -> float:
    return float(values.mean())


def _models(study: Study, place: int, level: str) -> list[Levels]:
    """Combinations that have a level of a factor, in the order of their other levels."""
    base = study.factors[place].base
    others = [levels for levels in combinations(study) if levels[place] == base]
    if study.design != "grid":
        others = others[:1]
    return [(*levels[:place], level, *levels[place + 1 :]) for levels in others]


def _effect(study: Study, place: int, level: str, table: _Table) -> Effect:
    factor = study.factors[place]
    mine, base = _models(study, place, level), _models(study, place, factor.base)
    half = len(mine)
    if reason := table.reason(mine) or (level != factor.base and table.reason([*mine, *base])):
        return Effect(factor.name, level, table.on, reason=reason)
    value = table.across(mine, "value", lambda of: of.mean(0))
    if level == factor.base:
        return Effect(factor.name, level, table.on, table.metric(), value)
    apart = table.across([*mine, *base], "difference", lambda of: of[:half].mean(0) - of[half:].mean(0))
    return Effect(factor.name, level, table.on, table.metric(), value, apart)


def _exponent(study: Study, place: int, table: _Table) -> AcrossSeeds | None:
    """Of a straight line through the logarithms of scale and error, by least squares."""
    factor = study.factors[place]
    models = [model for level in factor.levels for model in _models(study, place, level)]
    if table.reason(models):
        return None
    x = np.log([scale_of(factor, level) for level in factor.levels])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()

    def falls(metrics: Array) -> Array:
        metrics = metrics.reshape(len(x), -1, *metrics.shape[1:]).mean(1)
        error = np.where(metrics < 1, 1 - metrics, np.nan)
        return -np.asarray(weights @ np.log(error))

    return table.across(models, factor.scale, falls)


def _verdicts(factor: Factor, effects: Sequence[Effect], doubts: _Doubts) -> list[Verdict]:
    mine = [effect for effect in effects if effect.factor == factor.name]
    if factor.claims:
        return [_judge(factor, claim, mine, doubts) for claim in factor.claims]
    apart = [effect for effect in mine if effect.difference and effect.difference.leaves_out_zero]
    told = [effect for effect in apart if not doubts.of(factor, effect)]
    reasons = dict.fromkeys(doubt for effect in mine if (doubt := doubts.of(factor, effect)))
    why = "".join(f"; {reason}" for reason in [*reasons, *_unmeasured(factor, mine)])
    if not told:
        return [Verdict(factor.name, UNTOLD, f"{factor.name}: can't tell any level from {factor.base}{why}.")]
    listed = "; ".join(f"{e.level} in {e.on} {signed(e.difference)}" for e in told)
    rest = f"no other is told apart{why}"
    return [Verdict(factor.name, "differs", f"{factor.name}, against {factor.base}: {listed}; {rest}.")]


def _unmeasured(factor: Factor, effects: Sequence[Effect]) -> Iterator[str]:
    """Outcomes that could not be measured, each with its levels, unless it is all of them, and the reason."""
    levels: dict[tuple[str, str], list[str]] = {}
    for effect in (effect for effect in effects if effect.reason):
        levels.setdefault((effect.on, effect.reason), []).append(effect.level)
    for (on, reason), of in levels.items():
        yield f"{on}: {reason}" if len(of) == len(factor.levels) else f"{', '.join(of)} in {on}: {reason}"


def _judge(factor: Factor, claim: Claim, effects: Sequence[Effect], doubts: _Doubts) -> Verdict:
    effect = next(e for e in effects if e.level == claim.level and e.on == claim.on)
    apart = effect.difference
    if apart is None:
        return Verdict(factor.name, UNTOLD, f"Can't tell whether {claim.text}: {effect.reason}.")
    what = f"{claim.level} against {factor.base} in {claim.on} ({effect.metric}): {signed(apart)}"
    if (doubt := doubts.of(factor, effect)) or not apart.leaves_out_zero:
        but = f", but {doubt}" if doubt else ""
        return Verdict(factor.name, UNTOLD, f"Can't tell whether {claim.text}: {what}{but}.")
    says = SUPPORTS if (apart.value > 0) == (claim.expect == "better") else CONTRADICTS
    return Verdict(factor.name, says, f"{says.capitalize()} that {claim.text}: {what}.")


def signed(at: AcrossSeeds | None) -> str:
    """A difference with its interval."""
    if at is None:
        return ""
    if np.isnan(at.low):
        return f"{at.value:+.3f}"
    return f"{at.value:+.3f} ({at.low:+.3f} to {at.high:+.3f})"
