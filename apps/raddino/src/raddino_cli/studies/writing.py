"""A study's results as files: `results.json`, `.md`, `.tex`, `.csv`, `study.toml`, a plot a factor; none has a path."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from raddino_probes import Result, render_models

from raddino_cli.console import finite
from raddino_cli.plots import curves, intervals, save
from raddino_cli.studies.analysis import Analysis, Effect, signed
from raddino_cli.studies.runs import of_one_seed
from raddino_cli.studies.study import DEFAULTS, Factor, Settings, Study, scale_of, tables, to_toml
from raddino_cli.studies.trained import Trained, trained
from raddino_cli.work.stages import named, write_text

_PATHS = ("data.source", "data.labels", "pretrain.recipe", "pretrain.init", "init.weights", "init.head")
COLUMNS = ["in", "metric", "level", "value (95 %)", "difference (95 %)", "of each seed"]


def write_study(study: Study, found: Analysis, out: Path, versions: dict[str, str]) -> dict[str, Any]:
    """Write all of them; returns what `results.json` holds."""
    public, ways = without_paths(study), trained(study, out)
    results: dict[str, Any] = finite(
        {
            "format": 1,
            "study": asdict(public),
            "problem": found.problem,
            "verdicts": [asdict(verdict) for verdict in found.verdicts],
            "effects": [asdict(effect) for effect in found.effects],
            "laws": [asdict(law) for law in found.laws],
            "trained": [asdict(way) for way in ways],
            "versions": versions,
        }
    )
    for factor in study.factors:
        place = out / plot_name(factor)
        save(_plot(factor, found), place, place.with_suffix(".pdf"))
    write_text(out / "study.toml", to_toml(public))
    write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
    write_text(out / "results.md", markdown(study, found, ways, versions))
    by_factor = {factor.name: levels_of(factor, found) for factor in study.factors}
    write_text(out / "results.tex", "\n".join(_latex(f, found, by_factor[f.name]) for f in study.factors))
    every = {f"{name}={level}": of for name, levels in by_factor.items() for level, of in levels.items()}
    write_text(out / "results.csv", render_models(every, "csv"))
    return results


def without_paths(study: Study) -> Study:
    """The study as others may see it: a source is named by its folder alone."""

    def public(settings: Settings) -> Settings:
        return settings | {key: Path(settings[key]).name for key in _PATHS if settings.get(key)}

    factors = tuple(
        replace(factor, levels={name: public(of) for name, of in factor.levels.items()}) for factor in study.factors
    )
    return replace(study, base=public(study.base), factors=factors)


def plot_name(factor: Factor) -> str:
    """File of a factor's plot."""
    return named(factor.name).rpartition("-")[0] + ".svg"


def rows(effects: list[Effect]) -> Iterator[list[str]]:
    """Lines of a factor's table, as `COLUMNS`."""
    for effect in effects:
        if effect.value is None:
            yield [effect.on, "", effect.level, effect.reason, "", ""]
            continue
        at, apart = effect.value, effect.difference
        known = "" if math.isnan(at.low) else f" ({at.low:.3f} to {at.high:.3f})"
        each = ", ".join(f"{value:.3f}" for value in at.seeds)
        yield [effect.on, effect.metric, effect.level, f"{at.value:.3f}{known}", signed(apart) or "base", each]


def levels_of(factor: Factor, found: Analysis) -> dict[str, list[Result]]:
    """By level: values and differences from the base, as the tables of a bench have them by encoder."""
    levels: dict[str, list[Result]] = {level: [] for level in factor.levels}
    for effect in (effect for effect in found.effects if effect.factor == factor.name):
        for metric, at in ((effect.metric, effect.value), (f"difference in {effect.metric}", effect.difference)):
            if at:
                result = Result(effect.on, metric, at.value, at.low, at.high, at.patients, None)
                levels[effect.level].append(result)
        if effect.value is None:
            unknown = Result(effect.on, "", math.nan, math.nan, math.nan, 0, None, reason=effect.reason)
            levels[effect.level].append(unknown)
    return levels


def _latex(factor: Factor, found: Analysis, levels: dict[str, list[Result]]) -> str:
    """A factor's table under comments that say what it is of and what it says."""
    said = "".join(f"% {line}\n" for line in (factor.name, *sentences(found, factor)))
    return said + render_models(levels, "latex")


def sentences(found: Analysis, factor: Factor) -> list[str]:
    """What is said of a factor: verdicts, then laws."""
    said = [verdict.sentence for verdict in found.verdicts if verdict.factor == factor.name]
    for law in (law for law in found.laws if law.factor == factor.name):
        b = law.exponent
        ends = "" if math.isnan(b.low) else f" ({b.low:.3f} to {b.high:.3f})"
        known = "" if law.reason else "falls" if b.low > 0 else "rises" if b.high < 0 else ""
        way = f"the error {known}" if known else "can't tell whether the error falls"
        others = sorted({key for of in factor.levels.values() for key in of} - {law.scale})
        along = f" (and {', '.join(others)} with it)" if others else ""
        but = f", but {law.reason}" if law.reason else ""
        said.append(f"In {law.on} {way}: as {law.scale}{along} to the power of -b, b = {b.value:.3f}{ends}{but}.")
    return said


def markdown(study: Study, found: Analysis, ways: list[Trained], versions: dict[str, str]) -> str:
    """The study's page."""
    public, steps = without_paths(study), of_one_seed(study)[0].settings["train.steps"]
    parts = [f"# {study.title}", study.question, _set_up(public, steps)]
    if study.budget:
        parts.append(study.budget)
    if found.problem:
        parts.append(f"**Too small to tell effect from noise**: {found.problem}.")
    for factor in study.factors:
        mine = [effect for effect in found.effects if effect.factor == factor.name]
        lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join(word.replace("|", "\\|") for word in row) + " |" for row in rows(mine)]
        said = "\n".join(f"- {sentence}" for sentence in sentences(found, factor))
        parts += [f"## {factor.name}", said, f"![{factor.name}]({plot_name(factor)})", "\n".join(lines)]
    parts += ["## How they were trained", _training(study, ways)]
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    both = list(zip(tables(study), tables(public), strict=True))
    lacking = [key for key in _PATHS if any(own.get(key) != of.get(key) for own, of in both)]
    back = f" Put the whole path back in {', '.join(lacking)}: it is not told here." if lacking else ""
    again = f"`raddino ablate study.toml`, with {used}.{back}"
    parts += ["## Again", again, f"```toml\n{to_toml(public).strip()}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _training(study: Study, ways: list[Trained]) -> str:
    base = ways[0].levels
    names = ["run", "objective", "images", "batch", "rate", "steps", "operations", "loss at the end"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for way in ways:
        places = zip(study.factors, way.levels, base, strict=True)
        own = [f"{factor.name}: {level}" for factor, level, of in places if level != of] or ["base"]
        loss = "" if math.isnan(way.loss) else f"{way.loss:.3f}"
        images = "" if way.images is None else str(way.images) + (f" + {way.textures} textures" if way.textures else "")
        steps = (f"{way.before} on textures, then " if way.before else "") + str(way.steps)
        cells = [", ".join(own), way.objective, images, str(way.batch_size), f"{way.rate:.2g}", steps]
        lines.append("| " + " | ".join([*cells, f"{way.operations:.2f}", loss]) + " |")
    return "\n".join(lines)


def _set_up(study: Study, steps: int) -> str:
    """What the numbers are of."""
    settings = DEFAULTS | study.base
    source = settings["data.source"] or f"phantoms of {settings['data.patients']} patients"
    return (
        f"Data: {source} at {settings['data.size']} pixels. {len(study.seeds)} seeds, {steps} steps of "
        f"{settings['pretrain.recipe']}. A value is the mean over seeds, of a linear probe (AUROC; R2 of numbers) or a "
        f"{settings['evaluate.decoder']} decoder (Dice). A difference is from the same seeds and test patients; its "
        "interval is for other patients and other seeds, not corrected for their number. Phantoms are not patients; "
        "research software, not a medical device."
    )


def _plot(factor: Factor, found: Analysis) -> Figure:
    """Curves over the scale where there is one, else differences by level."""
    mine = [effect for effect in found.effects if effect.factor == factor.name]
    if factor.scale:
        points = [(scale_of(factor, effect.level), effect) for effect in mine if effect.value]
        points.sort(key=lambda point: point[0])
        return curves({"": [_result(e, f"{x:g}") for x, e in points]}, x=factor.scale)
    drawn = {
        level: [_result(effect) for effect in mine if effect.level == level and effect.difference]
        for level in factor.levels
        if level != factor.base
    }
    return intervals(drawn)


def _result(effect: Effect, x: str = "") -> Result:
    at = effect.value if x else effect.difference
    assert at is not None
    metric = effect.metric if x else f"difference in {effect.metric}"
    return Result(effect.on, metric, at.value, at.low, at.high, at.patients, None, group=x)
