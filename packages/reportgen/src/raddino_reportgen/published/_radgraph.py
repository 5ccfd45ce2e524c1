"""RadGraph F1 (Delbrouck et al. 2022) from the graphs of two sets of reports.

The graphs are those of `RadGraph` here, of the package radgraph or of RadGraph's published inference: for each report
`entities`, by number, each with `tokens`, `label` and `relations` [[kind, number], ...].
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from raddino_reportgen._errors import ReportError

Reward = Literal["RG_E", "RG_ER", "RG_bar_ER", "RG_combined"]
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
    with the entity it leads to (RG_bar_ER): the package radgraph's `simple`, `partial` and `complete`, in which capital
    letters count but for entities with relations in the last. `RG_combined` is RadCliQ's: the mean of RG_E and of the
    F1 over relations. A pair in which either side has no entities scores 0.
    """
    if reward not in get_args(Reward):
        raise ReportError(f"expected a reward of {', '.join(get_args(Reward))}; got {reward!r}")
    if len(candidates) != len(references):
        raise ReportError(f"expected a graph of each reference, got {len(candidates)} and {len(references)}")
    if reward == "RG_combined":
        parts = [[_f1(facts(a), facts(b)) for a, b in zip(candidates, references, strict=True)]
                 for facts in (_entities, _relations)]  # fmt: skip
        return np.asarray(np.mean(parts, axis=0))
    pairs = zip(candidates, references, strict=True)
    return np.array([_f1(_facts(candidate, reward), _facts(reference, reward)) for candidate, reference in pairs])


def _f1(a: set[Any], b: set[Any]) -> float:
    return 2 * len(a & b) / (len(a) + len(b)) if a and b else 0.0


def _facts(graph: Graph, reward: Reward) -> set[tuple[Any, ...]]:
    """What the graph claims."""
    if reward == "RG_E":
        return _entities(graph)
    found: set[tuple[Any, ...]] = set()
    entities = graph["entities"]
    for entity in entities.values():
        name, relations = _name(entity), entity["relations"]
        if not relations:
            found.add(name)
        elif reward == "RG_ER":
            found.add((*name, True))
        else:
            small = (name[0].lower(), name[1])
            found |= {(*small, str(kind), str(entities[str(other)]["tokens"]).lower()) for kind, other in relations}
    return found


def _entities(graph: Graph) -> set[tuple[Any, ...]]:
    return {_name(entity) for entity in graph["entities"].values()}


def _relations(graph: Graph) -> set[tuple[Any, ...]]:
    entities = graph["entities"]
    return {
        (_name(entity), str(kind), _name(entities[str(other)]))
        for entity in entities.values()
        for kind, other in entity["relations"]
    }


def _name(entity: Mapping[str, Any]) -> tuple[str, str]:
    return str(entity["tokens"]), str(entity["label"])
