"""Probes of frozen features: numpy arrays in, scores with bootstrap intervals by patient out."""

from importlib.metadata import version as _version

from raddino_probes._binary import FEWEST, Method, Score, probe_binary
from raddino_probes._bootstrap import Metric, bootstrap_by_patient, paired_difference
from raddino_probes._continuous import RegressionScore, probe_continuous
from raddino_probes._errors import ProbeError
from raddino_probes._interval import Interval, separates
from raddino_probes._metrics import auroc, average_precision
from raddino_probes._split import Split, check_no_leakage

__version__ = _version("raddino-probes")

__all__ = [
    "FEWEST",
    "Interval",
    "Method",
    "Metric",
    "ProbeError",
    "RegressionScore",
    "Score",
    "Split",
    "auroc",
    "average_precision",
    "bootstrap_by_patient",
    "check_no_leakage",
    "paired_difference",
    "probe_binary",
    "probe_continuous",
    "separates",
]
