"""Facts about ingest on a Ray cluster of two nodes: the bytes of a local run, whatever dies in between."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cxr_io
import pytest

ray = pytest.importorskip("ray", reason="ray is not installed; pip install 'cxr-io[ray]'")
cluster_utils = pytest.importorskip("ray.cluster_utils")

Take = Callable[..., cxr_io.IngestSummary]
Content = Callable[[Path], dict[str, bytes]]
Write = Callable[..., Path]
Large = tuple[Path, dict[str, bytes]]
# Ray leaves sockets and processes to the garbage collector.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two nodes of a core each; the driver is on the first."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    found = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False},
    )
    found.add_node(num_cpus=1, object_store_memory=80 << 20)
    found.wait_for_nodes()
    yield found
    ray.shutdown()
    found.shutdown()


def test_shards_are_those_of_a_local_run(
    cluster: Any, large: Large, take: Take, content: Content, tmp_path: Path
) -> None:
    source, whole = large
    told: list[tuple[int, int]] = []
    take(
        source,
        tmp_path / "out",
        workers=None,
        executor="ray",
        address=cluster.address,
        progress=lambda *n: told.append(n),
    )
    assert content(tmp_path / "out") == whole
    assert told[-1] == (90, 90)
    assert not ray.is_initialized()  # what it joined it left


def test_a_node_that_is_killed_costs_its_unfinished_work_alone(
    cluster: Any, large: Large, take: Take, content: Content, tmp_path: Path
) -> None:
    source, whole = large
    ray.init(cluster.address, log_to_driver=False)
    killed = threading.Event()

    def watch(done: int, _total: int) -> None:
        if done == 20 and not killed.is_set():
            killed.set()
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)

    take(source, tmp_path / "out", workers=None, executor="ray", progress=watch)
    assert killed.is_set()
    assert content(tmp_path / "out") == whole
    assert sum(node["Alive"] for node in ray.nodes()) == 1
