"""Published clinical metrics from local files: CheXbert, RadGraph, BERTScore and RadCliQ. None is downloaded.

Models need torch and transformers (extra `model`), BERTScore the extra `bertscore`. Loading runs nothing that a file
holds.
"""

from typing import TYPE_CHECKING, Any

from raddino_reportgen.published._bertscore import BertScore
from raddino_reportgen.published._chexbert import CheXbert
from raddino_reportgen.published._folder import LAYOUT, Published
from raddino_reportgen.published._radcliq import RadCliQ, bleu_2
from raddino_reportgen.published._radgraph import load_graphs, radgraph_f1

if TYPE_CHECKING:
    from raddino_reportgen.published._radgraph_model import RadGraph

__all__ = [
    "LAYOUT",
    "BertScore",
    "CheXbert",
    "Published",
    "RadCliQ",
    "RadGraph",
    "bleu_2",
    "load_graphs",
    "radgraph_f1",
]


def __getattr__(name: str) -> Any:
    if name != "RadGraph":  # which alone imports torch before it is called
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from raddino_reportgen.published._radgraph_model import RadGraph

    return RadGraph
