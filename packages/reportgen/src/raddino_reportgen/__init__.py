"""Radiology reports: parsed, labelled and scored with intervals by patient; baselines that any generator should beat.

What writes reports from an encoder's tokens is in `raddino_reportgen.model`, which needs torch and transformers (extra
`model`).
"""

from importlib.metadata import version

from raddino_reportgen._errors import ReportError
from raddino_reportgen._retrieval import Retrieval, most_frequent
from raddino_reportgen.labels import (
    FINDINGS,
    FIVE,
    MESH_FINDINGS,
    Mention,
    Status,
    label,
    label_reports,
    mentions,
    mesh_labels,
)
from raddino_reportgen.metrics import METRICS, Score, bleu, compare, evaluate, findings, rouge_l
from raddino_reportgen.text import (
    RULES,
    Chosen,
    Report,
    choose,
    clean,
    join_sections,
    read_openi,
    read_padchest,
    sections,
    split_sentences,
)

__all__ = [
    "FINDINGS",
    "FIVE",
    "MESH_FINDINGS",
    "METRICS",
    "RULES",
    "Chosen",
    "Mention",
    "Report",
    "ReportError",
    "Retrieval",
    "Score",
    "Status",
    "bleu",
    "choose",
    "clean",
    "compare",
    "evaluate",
    "findings",
    "join_sections",
    "label",
    "label_reports",
    "mentions",
    "mesh_labels",
    "most_frequent",
    "read_openi",
    "read_padchest",
    "rouge_l",
    "sections",
    "split_sentences",
]
__version__ = version("raddino-reportgen")
