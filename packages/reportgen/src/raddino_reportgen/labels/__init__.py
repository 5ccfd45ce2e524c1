"""Fourteen findings read from a report's words by rules, and from Open-i's MeSH terms."""

from raddino_reportgen.labels._assertion import Status
from raddino_reportgen.labels._labeller import Mention, label, label_reports, mentions
from raddino_reportgen.labels._lexicon import FINDINGS, FIVE
from raddino_reportgen.labels._mesh import MESH_FINDINGS, mesh_labels

__all__ = [
    "FINDINGS",
    "FIVE",
    "MESH_FINDINGS",
    "Mention",
    "Status",
    "label",
    "label_reports",
    "mentions",
    "mesh_labels",
]
