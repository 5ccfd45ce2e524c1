"""Nodes of a Ray cluster that differ in software would write other bytes; they are named before anything is done."""

from __future__ import annotations

import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cxr_io._errors import CxrError

Versions = dict[str, str]


def check_nodes(ray: Any, packages: tuple[str, ...]) -> None:
    """Compare what is installed on the nodes that there are with what is installed here.

    Raises:
        CxrError: naming the first node that differs, and in what.
    """
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    _, here = installed(packages)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    ask = ray.remote(num_cpus=0)(installed)
    places = [NodeAffinitySchedulingStrategy(node, soft=True) for node in nodes]  # soft: one may die in this moment
    try:
        found = ray.get([ask.options(scheduling_strategy=place).remote(packages) for place in places])
    except RayError as error:
        raise CxrError("usage", f"expected nodes that run tasks ({type(error).__name__}); is cxr-io on all?") from error
    for host, there in found:
        if changes := [f"{name} {here[name]} -> {there[name]}" for name in packages if here[name] != there[name]]:
            raise CxrError("usage", f"expected the same packages on all nodes; here -> on {host}: {'; '.join(changes)}")


def installed(packages: tuple[str, ...]) -> tuple[str, Versions]:
    """The name of this host, and the versions of some packages on it."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return socket.gethostname(), found
