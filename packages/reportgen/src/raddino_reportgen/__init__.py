"""Reports from frozen features: a retrieval baseline, and text metrics with intervals by patient."""

from importlib.metadata import version

from raddino_reportgen._errors import ReportError
from raddino_reportgen._metrics import Score, bleu4, evaluate, rouge_l
from raddino_reportgen._retrieval import Retrieval, most_frequent
from raddino_reportgen._sections import sections

__all__ = ["ReportError", "Retrieval", "Score", "bleu4", "evaluate", "most_frequent", "rouge_l", "sections"]
__version__ = version("raddino-reportgen")
