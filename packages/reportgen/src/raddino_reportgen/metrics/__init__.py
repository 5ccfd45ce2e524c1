"""How well candidates say what references say: overlap of words, findings, faithfulness, each with an interval."""

from raddino_reportgen.metrics._evaluate import METRICS, bleu, compare, evaluate, findings, rouge_l
from raddino_reportgen.metrics._resample import Score

__all__ = ["METRICS", "Score", "bleu", "compare", "evaluate", "findings", "rouge_l"]
