"""One report whatever it was read from, and the texts that a set of reports gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from raddino_reportgen._errors import ReportError
from raddino_reportgen.text._cleaning import check_rules, clean
from raddino_reportgen.text._sections import sections


@dataclass(frozen=True)
class Report:
    """A report: sections by name, `terms` that people or a thesaurus gave it, the names of its `images`."""

    name: str
    sections: dict[str, str]
    terms: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    patient: str | None = None


@dataclass(frozen=True)
class Chosen:
    """Texts to learn from or to compare with: `rows` of the reports they come from, and how many were left out, why."""

    rows: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def choose(
    reports: Iterable[str | Report | None], section: str = "findings", rules: Sequence[str] = ("whitespace",)
) -> Chosen:
    """One section of each report, cleaned; `section="report"` takes the whole.

    `left_out` counts `empty` (no report, or no words left of it) and `no <section>`. A report without any heading is
    all findings. No text at all is a `ReportError`.
    """
    check_rules(rules)
    found = Chosen()
    for row, report in enumerate(reports):
        parts = sections(report) if isinstance(report, str) else report.sections if report else {}
        if set(parts) == {""}:
            parts = {"findings": parts[""]}
        text = clean(" ".join(parts.values()) if section == "report" else parts.get(section, ""), rules)
        if text:
            found.rows.append(row)
            found.texts.append(text)
        else:
            found.left_out["empty" if section in (*parts, "report") or not parts else f"no {section}"] += 1
    if not found.texts:
        counts = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items()) or "no reports"
        raise ReportError(f"expected at least one report with {section}, got none ({counts}); choose another section")
    return found
