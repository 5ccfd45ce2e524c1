"""Results as text: for a terminal, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

from raddino_probes._compare import Comparison
from raddino_probes._errors import ProbeError
from raddino_probes._result import Result

Form = Literal["terminal", "markdown", "latex", "csv", "json"]

_LATEX = {ord(sign): f"\\{sign}" for sign in "&%$#_{}"} | {
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("\\"): r"\textbackslash{}",
}


def render(results: Sequence[Result] | Sequence[Comparison], form: Form = "terminal") -> str:
    """A table of results, or of comparisons, one a line.

    "csv" and "json" hold every field at full precision, what is unknown being empty or null. The others are for
    reading: three decimals, an interval in one cell with its value, no empty columns; LaTeX is a `tabular` that
    needs booktabs.

    Raises:
        ProbeError: another form.
    """
    rows = [asdict(result) for result in results]
    return _drawn(rows, [_merged(row) for row in rows], form)


def render_models(results: Mapping[str, Sequence[Result]], form: Form = "terminal") -> str:
    """One table of several models, such as encoders: a line for each target, group and metric, a column for each model.

    What a model has no result of is "-". "csv" and "json" have a line for each result, its "model" first.

    Args:
        results: by model.
        form: as for `render`.

    Raises:
        ProbeError: another form.
    """
    rows = [{"model": model, **asdict(result)} for model, found in results.items() for result in found]
    lines: dict[tuple[str, str, str], dict[str, Any]] = {}
    for result in (result for found in results.values() for result in found):
        line: dict[str, Any] = {
            "name": result.name,
            "rows": result.group,
            "metric": result.metric,
            **dict.fromkeys(results, "-"),
        }
        line |= {"n": result.n, "positives": result.positives, "reason": result.reason}
        lines.setdefault((result.name, result.group, result.metric), line)
    for model, found in results.items():
        for result in found:
            if result.estimable:
                words = f"{result.value:.3f}{_interval(result.low, result.high)}"
                lines[result.name, result.group, result.metric][model] = words
    return _drawn(rows, list(lines.values()), form)


def _drawn(rows: list[dict[str, Any]], lines: list[dict[str, Any]], form: Form) -> str:
    """Rows with every field for programs, or lines of fewer for people, whichever the form takes."""
    if form not in get_args(Form):
        raise ProbeError(f"form: expected one of {', '.join(get_args(Form))}, got {form!r}")
    if form == "json":
        return json.dumps([{key: _known(value) for key, value in row.items()} for row in rows], indent=1) + "\n"
    if form == "csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _known(value) for key, value in row.items()} for row in rows)
        return stream.getvalue()
    return {"terminal": _terminal, "markdown": _markdown, "latex": _latex}[form](_readable(lines))


def _merged(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose interval is in one cell with its value."""
    key = "difference" if "difference" in row else "value"
    words = _word(row[key]) + _interval(row["low"], row["high"])
    return {name: words if name == key else value for name, value in row.items() if name not in ("low", "high")}


def _readable(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Header and rows of words, without empty columns."""
    words = [{name: _word(value) for name, value in row.items()} for row in rows]
    names = [name for name in (words[0] if words else []) if any(row[name] for row in words)]
    return [names, *([row[name] for name in names] for row in words)]


def _interval(low: float, high: float) -> str:
    if math.isnan(low):
        return ""
    return f" ({low:.3f}-{high:.3f})" if low >= 0 else f" ({low:.3f} to {high:.3f})"


def _word(value: Any) -> str:
    known = _known(value)
    return "" if known is None else f"{known:.3f}" if isinstance(known, float) else str(known)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _terminal(lines: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in lines)
    return "".join(line.rstrip() + "\n" for line in padded)


def _markdown(lines: list[list[str]]) -> str:
    drawn = ["| " + " | ".join(word.replace("|", "\\|") for word in line) + " |" for line in lines]
    return "\n".join([drawn[0], "|" + "---|" * len(lines[0]), *drawn[1:]]) + "\n"


def _latex(lines: list[list[str]]) -> str:
    drawn = [" & ".join(word.translate(_LATEX) for word in line) + r" \\" for line in lines]
    inside = [r"\toprule", drawn[0], r"\midrule", *drawn[1:], r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{'l' * len(lines[0])}}}", *inside, r"\end{tabular}"]) + "\n"
