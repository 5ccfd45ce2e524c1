"""Probes of frozen features: numpy arrays in, scores with bootstrap intervals by patient out."""

from importlib.metadata import version as _version

from raddino_probes._binary import Score, probe_binary
from raddino_probes._bootstrap import Metric, bootstrap_by_patient, paired_difference
from raddino_probes._compare import Comparison, compare_findings, holm
from raddino_probes._continuous import RegressionScore, probe_continuous
from raddino_probes._errors import ProbeError
from raddino_probes._findings import FindingsProbe, Method, probe_findings
from raddino_probes._heads import STRENGTHS, Heads, fit_heads, fit_heads_singly
from raddino_probes._interval import Interval, separates
from raddino_probes._linear import LinearHead
from raddino_probes._metrics import MEASURES, Measure, auroc, average_precision, measure
from raddino_probes._result import FEWEST, Result, to_rows
from raddino_probes._score import age_bands, score_findings, score_groups
from raddino_probes._split import Findings, Split, check_no_leakage
from raddino_probes._standardise import standardise
from raddino_probes._thresholds import threshold_for_f1, threshold_for_specificity

__version__ = _version("raddino-probes")

__all__ = [
    "FEWEST",
    "MEASURES",
    "STRENGTHS",
    "Comparison",
    "Findings",
    "FindingsProbe",
    "Heads",
    "Interval",
    "LinearHead",
    "Measure",
    "Method",
    "Metric",
    "ProbeError",
    "RegressionScore",
    "Result",
    "Score",
    "Split",
    "age_bands",
    "auroc",
    "average_precision",
    "bootstrap_by_patient",
    "check_no_leakage",
    "compare_findings",
    "fit_heads",
    "fit_heads_singly",
    "holm",
    "measure",
    "paired_difference",
    "probe_binary",
    "probe_continuous",
    "probe_findings",
    "score_findings",
    "score_groups",
    "separates",
    "standardise",
    "threshold_for_f1",
    "threshold_for_specificity",
    "to_rows",
]
