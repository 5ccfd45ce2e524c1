"""RadGraph F1 (Delbrouck et al. 2022) from the graphs of two sets of reports.

The graphs are those that the package radgraph, or RadGraph's published inference, writes: for each report `entities`,
by number, each with `tokens`, `label` and `relations` [[kind, number], ...]. The model itself is not here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError

Reward = Literal["RG_E", "RG_ER", "RG_bar_ER"]
Graph = Mapping[str, Any]


def load_graphs(path: str | Path) -> list[Graph]:
    """The graphs of a JSON file {report: {"entities": ...}}, in the file's order."""
    try:
        table = json.loads(Path(path).read_bytes())
        graphs = list(table.values())
        for graph in graphs:
            _facts(graph, "RG_bar_ER")
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ReportError(f"expected RadGraph's JSON of reports with entities at {path}: {error!r}") from error
    return graphs


def radgraph_f1(
    candidates: Sequence[Graph], references: Sequence[Graph], reward: Reward = "RG_ER"
) -> NDArray[np.float64]:
    """F1 of each pair (N,), to be averaged.

    What must agree is an entity's tokens and label (RG_E), also whether it has relations (RG_ER), or also each relation
    with the entity it leads to (RG_bar_ER). A pair in which either side has no entities scores 0.
    """
    if reward not in get_args(Reward):
        raise ReportError(f"expected a reward of {', '.join(get_args(Reward))}; got {reward!r}")
    if len(candidates) != len(references):
        raise ReportError(f"expected a graph of each reference, got {len(candidates)} and {len(references)}")
    found = []
    for candidate, reference in zip(candidates, references, strict=True):
        a, b = _facts(candidate, reward), _facts(reference, reward)
        precision, recall = (sum(x in other for x in one) / len(one) if one else 0.0 for one, other in ((a, b), (b, a)))
        found.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return np.array(found)


def _facts(graph: Graph, reward: Reward) -> list[tuple[Any, ...]]:
    """What the graph claims, once each."""
    entities = graph["entities"]
    found: list[tuple[Any, ...]] = []
    for entity in entities.values():
        name = (str(entity["tokens"]).lower(), str(entity["label"]))
        relations = entity["relations"]
        if reward == "RG_E":
            found.append(name)
        elif reward == "RG_ER":
            found.append((*name, bool(relations)))
        else:
            found += [(*name, str(kind), *_name(entities[str(other)])) for kind, other in relations] or [name]
    return list(dict.fromkeys(found))


def _name(entity: Mapping[str, Any]) -> tuple[str, str]:
    return str(entity["tokens"]).lower(), str(entity["label"])
