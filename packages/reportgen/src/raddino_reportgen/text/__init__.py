"""Reports as text: their sections, the layouts they come in, and cleaning rules by name."""

from raddino_reportgen.text._cleaning import RULES, clean
from raddino_reportgen.text._openi import read_openi
from raddino_reportgen.text._padchest import read_padchest
from raddino_reportgen.text._report import Chosen, Report, choose
from raddino_reportgen.text._sections import join_sections, sections
from raddino_reportgen.text._words import split_sentences

__all__ = [
    "RULES",
    "Chosen",
    "Report",
    "choose",
    "clean",
    "join_sections",
    "read_openi",
    "read_padchest",
    "sections",
    "split_sentences",
]
