"""All published metrics of one folder: what is there is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError
from raddino_reportgen.published._bertscore import BertScore
from raddino_reportgen.published._chexbert import CheXbert
from raddino_reportgen.published._radcliq import RadCliQ, bleu_2
from raddino_reportgen.published._radgraph import radgraph_f1

LAYOUT = {
    "chexbert": "chexbert/chexbert.pth, chexbert/vocab.txt",
    "radgraph": "radgraph/config.json, radgraph/weights.th, radgraph/vocabulary/, radgraph/vocab.txt",
    "bertscore": "bertscore/: distilroberta-base",
    "radcliq": "radcliq/radcliq-v1.pkl, radcliq/composite_metric_model.pkl, radcliq/normalizer.pkl",
}


class Published:
    """The metrics whose weights are in `folder`, in the subfolders of `LAYOUT`; none at all is a `ReportError`.

    `labeller` is CheXbert, or None. RadCliQ needs the other three.
    """

    def __init__(self, folder: str | Path, *, device: str = "cpu") -> None:
        place = Path(folder)
        there = {name for name in LAYOUT if (place / name).is_dir()}
        if not there:
            raise ReportError(f"expected some of these in {place}: {'; '.join(LAYOUT.values())}; found none")
        if "radcliq" in there and len(there) < len(LAYOUT):
            raise ReportError(f"expected {', '.join(LAYOUT)} in {place}, all of which RadCliQ needs; found {there}")
        chexbert, radgraph = place / "chexbert", place / "radgraph"
        self.labeller = (
            CheXbert(chexbert / "chexbert.pth", chexbert / "vocab.txt", device=device) if "chexbert" in there else None
        )
        self._radgraph = None
        if "radgraph" in there:
            from raddino_reportgen.published._radgraph_model import RadGraph  # needs torch, as the others when called

            self._radgraph = RadGraph(radgraph, radgraph / "vocab.txt", device=device)
        self._bertscore = BertScore(place / "bertscore", device=device) if "bertscore" in there else None
        self._radcliq = _radcliqs(place / "radcliq") if "radcliq" in there else {}

    def per_pair(self, candidates: Sequence[str], references: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Values (N,) by name, for `evaluate(per_pair=...)`: `rg_e`, `rg_er`, `rg_bar_er`, `bertscore`, `radcliq_v1`.

        And `chexbert_similarity` and `radcliq_v0`.
        """
        found: dict[str, NDArray[np.float64]] = {}
        if self._radgraph:
            a, b = self._radgraph(candidates), self._radgraph(references)
            found |= {"rg_e": radgraph_f1(a, b, "RG_E"), "rg_er": radgraph_f1(a, b, "RG_ER"),
                      "rg_bar_er": radgraph_f1(a, b, "RG_bar_ER")}  # fmt: skip
        if self._bertscore:
            found["bertscore"] = self._bertscore(candidates, references)
        if self.labeller:
            found["chexbert_similarity"] = self.labeller.similarity(candidates, references)
        if self._radcliq:
            columns = (
                radgraph_f1(a, b, "RG_combined"),
                found["bertscore"],
                found["chexbert_similarity"],
                bleu_2(list(candidates), list(references)),
            )
            found |= {name: metric(*columns) for name, metric in self._radcliq.items()}
        return found


def _radcliqs(place: Path) -> dict[str, RadCliQ]:
    found = {}
    if (place / "radcliq-v1.pkl").exists():
        found["radcliq_v1"] = RadCliQ(place / "radcliq-v1.pkl")
    if (place / "composite_metric_model.pkl").exists():
        found["radcliq_v0"] = RadCliQ(place / "composite_metric_model.pkl", place / "normalizer.pkl")
    if not found:
        raise ReportError(f"expected radcliq-v1.pkl, or composite_metric_model.pkl with normalizer.pkl, in {place}")
    return found
