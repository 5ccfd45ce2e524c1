"""Plots of scores with their intervals, as vectors: a panel a metric, and a curve a target."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from raddino_probes import Result

from raddino_cli.work.mapping import Maps
from raddino_cli.work.stages import write_bytes

_GREY = "#888"
STYLE = {"svg.hashsalt": "raddino", "font.family": "sans-serif", "axes.edgecolor": _GREY, "text.color": _GREY}
STYLE |= {"axes.labelcolor": _GREY, "xtick.color": _GREY, "ytick.color": _GREY, "axes.titlecolor": _GREY}
STYLE |= {"pdf.fonttype": "truetype"}
"""Legible on white and on black; TrueType in a PDF, as journals ask."""
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_SPELT = {"auroc": "AUROC", "r2": "R²", "dice": "Dice", "mae": "MAE"}


def drawn(figure: Figure, form: str = "svg") -> bytes:
    """The figure as an `svg` or a `pdf`, the same for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=form, transparent=True, metadata=_UNDATED[form])
    return buffer.getvalue()


def form_of(path: Path) -> str:
    """`svg` or `pdf`, as the name ends; others are a `ValueError`."""
    if path.suffix[1:] not in _UNDATED:
        raise ValueError(f"a plot is written as .svg or .pdf, and not as {path.name}")
    return path.suffix[1:]


def save(figure: Figure, *paths: Path) -> None:
    """Write the figure to each path, in the form that its name ends with."""
    for path in paths:
        write_bytes(path, drawn(figure, form_of(path)))


def intervals(results: Mapping[str, Sequence[Result]]) -> Figure:
    """Every target's value and interval by model, a panel a metric."""
    found = [result for of in results.values() for result in of if result.estimable]
    metrics = list(dict.fromkeys(result.metric for result in found))
    names = {m: list(dict.fromkeys(_words(r) for r in found if r.metric == m)) for m in metrics}
    tallest = max((len(each) for each in names.values()), default=1)
    step = 0.8 / max(len(results), 1)
    with _figure((3.6 * max(len(metrics), 1), 1.2 + 0.45 * tallest)) as figure:
        for axis, metric in zip(figure.subplots(1, max(len(metrics), 1), squeeze=False)[0], metrics, strict=False):
            for i, (model, of) in enumerate(results.items()):
                mine = [r for r in of if r.metric == metric and r.estimable]
                at = np.array([names[metric].index(_words(r)) for r in mine]) + (i - (len(results) - 1) / 2) * step
                value = np.array([r.value for r in mine])
                ends = np.nan_to_num(np.abs([[r.value - r.low for r in mine], [r.high - r.value for r in mine]]))
                axis.errorbar(value, at, xerr=ends, fmt="o", markersize=4, linewidth=1.4, label=model)
            axis.set_yticks(range(len(names[metric])), names[metric], fontsize=8)
            axis.set_ylim(len(names[metric]) - 0.5, -0.5)
            axis.set_title(_metric(metric), fontsize=9)
            axis.locator_params(axis="x", nbins=5)
            chance = 0.5 if metric == "auroc" else 0 if metric.startswith("difference") else None
            if chance is not None:
                axis.axvline(chance, color=_GREY, linewidth=0.6, linestyle=":")
        _legend(figure, len(results))
    return figure


def curves(results: Mapping[str, Sequence[Result]], x: str = "images of each class") -> Figure:
    """A metric over the number that a result's group begins with, by model, with its band, a panel a target."""
    names = list(dict.fromkeys(result.name for of in results.values() for result in of if result.estimable))
    metrics = {result.name: result.metric for of in results.values() for result in of}
    with _figure((3.2 * max(len(names), 1), 2.8)) as figure:
        for axis, name in zip(figure.subplots(1, max(len(names), 1), squeeze=False)[0], names, strict=False):
            for model, of in results.items():
                mine = [r for r in of if r.name == name and r.estimable]
                shots = [float(r.group.split()[0]) for r in mine]
                (line,) = axis.plot(shots, [r.value for r in mine], marker="o", markersize=3, label=model)
                axis.fill_between(
                    shots, [r.low for r in mine], [r.high for r in mine], color=line.get_color(), alpha=0.15
                )
            axis.set_xscale("log", base=2)
            axis.set_xticks(places := sorted({x for line in axis.lines for x in line.get_xdata()}))
            axis.set_xticklabels([f"{place:g}" for place in places])
            axis.set_ylabel(_metric(metrics[name]), fontsize=8)
            axis.set_title(name, fontsize=9)
            axis.set_xlabel(x, fontsize=8)
        _legend(figure, len(results))
    return figure


def _short(spec: str) -> str:
    """An encoder as a paper names it: a place without the folders before its name."""
    kind, colon, place = spec.rpartition(":")
    return kind + colon + place.rstrip("/").rpartition("/")[2]


def _metric(name: str) -> str:
    """A metric as a paper spells it."""
    return " ".join(_SPELT.get(word, word) for word in name.replace("_", " ").split())


def _words(result: Result) -> str:
    return f"{result.name} {result.group}".strip()


def maps(found: Mapping[str, Maps]) -> Figure:
    """Log odds by patch, a row a target: of images without it, with it, the difference, and of one patient."""
    columns = ("without", "with", "difference", "one patient")
    with _figure((2.2 * len(columns), 1.9 * len(found))) as figure:
        rows = figure.subplots(len(found), len(columns), squeeze=False)
        for axis, title in zip(rows[0], columns, strict=True):
            axis.set_title(title, fontsize=9)
        for axes, (name, of) in zip(rows, found.items(), strict=True):
            axes[0].set_ylabel(name, fontsize=9)
            for axis, values in zip(axes, (of.without, of.having, of.having - of.without, of.of_patient), strict=True):
                most = float(np.abs(values).max())
                image = axis.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most)
                axis.set_xticks([])
                axis.set_yticks([])
                figure.colorbar(image, ax=axis, shrink=0.7).ax.tick_params(labelsize=7)
    return figure


@contextmanager
def _figure(size: tuple[float, float]) -> Iterator[Figure]:
    with mpl.rc_context(STYLE):
        yield Figure(figsize=size, layout="constrained")


def _legend(figure: Figure, models: int) -> None:
    for axis in figure.axes:
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    if figure.axes:
        handles, words = figure.axes[0].get_legend_handles_labels()
        place = {"loc": "outside lower center", "ncols": min(models, 3)}
        figure.legend(handles, [_short(word) for word in words], fontsize=8, frameon=False, labelcolor=_GREY, **place)
