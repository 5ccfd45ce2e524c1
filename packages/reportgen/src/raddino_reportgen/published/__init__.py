"""Published clinical metrics from local files: CheXbert, RadGraph's graphs, RadCliQ. None is downloaded.

CheXbert needs torch and transformers (extra `model`). Loading runs nothing that a file holds.
"""

from raddino_reportgen.published._chexbert import CheXbert
from raddino_reportgen.published._radcliq import RadCliQ
from raddino_reportgen.published._radgraph import load_graphs, radgraph_f1

__all__ = ["CheXbert", "RadCliQ", "load_graphs", "radgraph_f1"]
