"""Probes of frozen features: numpy arrays in, scores with bootstrap intervals by patient out."""

from importlib.metadata import version as _version

from raddino_probes._attentive import probe_attentive
from raddino_probes._binary import Score, probe_binary
from raddino_probes._bootstrap import Metric, bootstrap_by_patient, paired_difference
from raddino_probes._compare import Comparison, compare_findings, holm
from raddino_probes._confounders import Beyond, confounder_matrix, probe_beyond, remove_confounders
from raddino_probes._continuous import RegressionScore, probe_continuous
from raddino_probes._errors import ProbeError
from raddino_probes._findings import FindingsProbe, Method, probe_findings
from raddino_probes._finetune import fine_tune
from raddino_probes._head import AttentiveHead, LinearHead
from raddino_probes._heads import STRENGTHS, Heads, fit_heads, fit_heads_singly
from raddino_probes._interval import Interval, separates
from raddino_probes._maps import mean_maps, patch_maps
from raddino_probes._metrics import MEASURES, Measure, auroc, average_precision, measure
from raddino_probes._overlap import Overlap, find_overlap
from raddino_probes._protocols import PROTOCOLS, Protocol, protocol
from raddino_probes._result import FEWEST, Result, to_rows
from raddino_probes._score import age_bands, score_findings, score_groups
from raddino_probes._seeds import AcrossSeeds, across_seeds
from raddino_probes._shots import SHOTS, few_shot
from raddino_probes._split import Findings, Inputs, Split, check_no_leakage
from raddino_probes._standardise import standardise
from raddino_probes._tables import render, render_models
from raddino_probes._thresholds import threshold_for_f1, threshold_for_specificity

__version__ = _version("raddino-probes")

__all__ = [
    "FEWEST",
    "MEASURES",
    "PROTOCOLS",
    "SHOTS",
    "STRENGTHS",
    "AcrossSeeds",
    "AttentiveHead",
    "Beyond",
    "Comparison",
    "Findings",
    "FindingsProbe",
    "Heads",
    "Inputs",
    "Interval",
    "LinearHead",
    "Measure",
    "Method",
    "Metric",
    "Overlap",
    "ProbeError",
    "Protocol",
    "RegressionScore",
    "Result",
    "Score",
    "Split",
    "across_seeds",
    "age_bands",
    "auroc",
    "average_precision",
    "bootstrap_by_patient",
    "check_no_leakage",
    "compare_findings",
    "confounder_matrix",
    "few_shot",
    "find_overlap",
    "fine_tune",
    "fit_heads",
    "fit_heads_singly",
    "holm",
    "mean_maps",
    "measure",
    "paired_difference",
    "patch_maps",
    "probe_attentive",
    "probe_beyond",
    "probe_binary",
    "probe_continuous",
    "probe_findings",
    "protocol",
    "remove_confounders",
    "render",
    "render_models",
    "score_findings",
    "score_groups",
    "separates",
    "standardise",
    "threshold_for_f1",
    "threshold_for_specificity",
    "to_rows",
]
