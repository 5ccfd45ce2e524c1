"""Results as text: for a terminal, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
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
    if form not in get_args(Form):
        raise ProbeError(f"form: expected one of {', '.join(get_args(Form))}, got {form!r}")
    rows = [asdict(result) for result in results]
    if form == "json":
        return json.dumps([{key: _known(value) for key, value in row.items()} for row in rows], indent=1) + "\n"
    if form == "csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _known(value) for key, value in row.items()} for row in rows)
        return stream.getvalue()
    lines = _readable(rows)
    return {"terminal": _terminal, "markdown": _markdown, "latex": _latex}[form](lines)


def _readable(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Header and rows of words."""
    merged = []
    for row in rows:
        row = dict(row)
        low, high = row.pop("low"), row.pop("high")
        key = "difference" if "difference" in row else "value"
        interval = "" if math.isnan(low) else f" ({low:.3f}-{high:.3f})" if low >= 0 else f" ({low:.3f} to {high:.3f})"
        merged.append({name: _word(value) + (interval if name == key else "") for name, value in row.items()})
    names = [name for name in (merged[0] if merged else []) if any(row[name] for row in merged)]
    return [names, *([row[name] for name in names] for row in merged)]


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
