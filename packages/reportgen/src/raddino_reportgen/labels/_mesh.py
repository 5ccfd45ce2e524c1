"""Open-i's MeSH headings as the same findings, to measure the labeller against people who indexed the reports."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen.labels._lexicon import FINDINGS

# A heading such as `Opacity/lung/base/left`, in small letters, means a finding where its pattern is found.
_HEADINGS = {
    "Enlarged Cardiomediastinum": r"mediastinum/(?!.*lymph).*(prominent|enlarged)",
    "Cardiomegaly": r"cardiomegaly|cardiac shadow/.*(enlarged|borderline)",
    "Lung Opacity": (
        r"opacity/(?!.*(bone|abdomen|breast|spine|vertebra|round))|infiltrate|airspace disease|"
        r"density/(?!.*round)(.*/)?(lung|retrocardiac|base)|markings/.*interstitial|lung/(.*/)?interstitial|"
        r"lung diseases, interstitial|thickening/lung/interstitial"
    ),
    "Lung Lesion": (
        r"nodule/|mass/(?!breast|mediastinum|abdomen)|cavitation|nodule$|mass$|"
        r"(opacity|density)/(?!.*(rib|vertebra)).*round"
    ),
    "Edema": r"pulmonary edema|pulmonary congestion|heart failure",
    "Consolidation": r"consolidation",
    "Pneumonia": r"pneumonia(?!l)",
    "Atelectasis": r"pulmonary atelectasis",
    "Pneumothorax": r"(hydro|hemo)?pneumothorax",
    "Pleural Effusion": r"pleural effusion|hydropneumothorax|hemothorax|hemopneumothorax",
    "Pleural Other": r"thickening/(.*/)?pleura|cicatrix/(.*/)?pleura|calcinosis/(.*/)?pleura|pleura/",
    "Fracture": r"fractures, bone|deformity/(.*/)?ribs",
    "Support Devices": r"catheters, indwelling|tube, inserted|implanted medical device|medical device",
    "No Finding": r"normal$",
}
_COMPILED = {name: re.compile(pattern) for name, pattern in _HEADINGS.items()}
MESH_FINDINGS = tuple(_HEADINGS)


def mesh_labels(terms: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """1 or 0 for each of N reports and the 14 findings (N, 14); NaN where MeSH has no such heading.

    A report that was not indexed is NaN throughout.
    """
    found = np.full((len(terms), len(FINDINGS)), np.nan)
    for row, headings in enumerate(terms):
        lower = [heading.lower() for heading in headings]
        if not lower or "no indexing" in lower:
            continue
        for name, pattern in _COMPILED.items():
            found[row, FINDINGS.index(name)] = float(any(pattern.match(heading) for heading in lower))
    return found
