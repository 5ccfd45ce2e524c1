"""Facts about ingest on a Ray cluster of two nodes: the bytes of a local run, whatever dies in between."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cxr_io
import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless

ray = pytest.importorskip("ray", reason="ray is not installed; pip install 'cxr-io[ray]'")
cluster_utils = pytest.importorskip("ray.cluster_utils")

Take = Callable[..., cxr_io.IngestSummary]
Content = Callable[[Path], dict[str, bytes]]
Large = tuple[Path, dict[str, bytes]]
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of two nodes of a core each, whose workers have a JPEG-LS decoder with a defect."""
    site = tmp_path_factory.mktemp("site")
    (site / "imagecodecs.py").write_text("import ctypes\njpegls_decode = lambda data: ctypes.string_at(0)\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(site))
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = cluster_utils.Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        found.add_node(**NODE)
    found.wait_for_nodes()
    yield found
    found.shutdown()


@pytest.fixture
def joined(cluster: Any) -> Iterator[Any]:
    """The cluster, with this process in it."""
    ray.init(cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()


def once(at: int, act: Callable[[], object]) -> Callable[[int, int], None]:
    """A progress that acts when so many are done."""
    waiting = [act]

    def tell(done: int, _total: int) -> None:
        if waiting and done >= at:
            waiting.pop()()

    return tell


def workers_at(function: str) -> list[int]:
    """Processes of Ray that run a function now."""
    found = Path("/proc").glob("[0-9]*/cmdline")
    return [int(path.parent.name) for path in found if path.read_bytes().startswith(b"ray::" + function.encode())]


def test_what_can_not_be_is_one_sentence(small: tuple[Path, Path], take: Take, tmp_path: Path) -> None:
    for options, message in (
        ({"executor": "slurm"}, "an executor of local, ray; got 'slurm'"),
        ({"executor": "local", "address": "auto"}, "the executor ray with the address"),
        ({"executor": "ray", "workers": 0}, "1 or more workers"),
        ({"executor": "ray", "workers": None, "address": "auto"}, "a Ray cluster at auto"),  # there is none yet
        ({"executor": "ray", "workers": None, "address": "127.0.0.1:9"}, "a Ray cluster at 127.0.0.1:9: .*refused"),
    ):
        with pytest.raises(cxr_io.CxrError, match=message):
            take(small[0], tmp_path / "out", **options)


def test_shards_are_those_of_a_local_run(
    cluster: Any, large: Large, take: Take, content: Content, tmp_path: Path
) -> None:
    source, whole = large
    told: list[tuple[int, int]] = []
    options = {"workers": None, "executor": "ray", "address": cluster.address}
    take(source, tmp_path / "out", progress=lambda *numbers: told.append(numbers), **options)
    assert content(tmp_path / "out") == whole
    assert told[-1] == (90, 90)
    assert not ray.is_initialized()  # what it joined it left


def test_workers_that_are_killed_are_replaced(
    joined: Any, large: Large, take: Take, content: Content, tmp_path: Path
) -> None:
    source, whole = large
    killed: list[int] = []

    def kill(done: int, _total: int) -> None:
        if not killed and done >= 8:
            killed.extend(workers_at("_convert"))
            for number in killed:
                os.kill(number, signal.SIGKILL)

    take(source, tmp_path / "out", workers=None, executor="ray", progress=kill)
    assert killed
    assert content(tmp_path / "out") == whole


def test_a_node_that_is_killed_costs_its_unfinished_work_alone(
    joined: Any, large: Large, take: Take, content: Content, tmp_path: Path
) -> None:
    source, whole = large
    node = joined.add_node(**NODE)
    joined.wait_for_nodes()
    kill = once(20, lambda: joined.remove_node(node, allow_graceful=False))
    take(source, tmp_path / "out", workers=None, executor="ray", progress=kill)
    assert content(tmp_path / "out") == whole
    joined.wait_for_nodes()  # the cluster notices a dead node in its own time
    assert sum(found["Alive"] for found in ray.nodes()) == 2


def test_a_file_that_crashes_its_codec_is_rejected_and_the_rest_goes_on(
    joined: Any, write_mixed: Callable[..., Path], write_dicom: Callable[..., Path], take: Take, tmp_path: Path
) -> None:
    source = write_mixed(tmp_path / "source", 3)
    write_dicom(source / "victim.dcm", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64), JPEGLSLossless)
    with (source / "labels.csv").open("a") as table:
        table.write("victim.dcm,p9,1,,\n")
    summary = take(source, tmp_path / "out", workers=None, executor="ray")
    assert (summary.accepted, summary.reasons) == (3, {"crashed_codec": 1})
    assert "4 workers died of it" in (tmp_path / "out" / "rejected.jsonl").read_text()


def test_a_worker_that_neither_ends_nor_dies_is_not_waited_for(
    joined: Any, large: Large, take: Take, content: Content, tmp_path: Path
) -> None:
    source, whole = large
    stopped: list[int] = []

    def stop(done: int, _total: int) -> None:
        if not stopped and done >= 8:
            stopped.extend(workers_at("_convert")[:1])
            for number in stopped:
                os.kill(number, signal.SIGSTOP)

    try:
        take(source, tmp_path / "out", workers=None, executor="ray", progress=stop)
    finally:
        for number in stopped:
            os.kill(number, signal.SIGKILL)
    assert stopped
    assert content(tmp_path / "out") == whole


def test_few_items_are_taken_ahead_of_their_results(joined: Any) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with cxr_io.Cluster() as there:
        for done, found in enumerate(there.map(lambda base, i: base + i, 1000, items())):
            assert found == 1000 + done
            assert len(taken) - done <= 3 * there.cores + 1
    assert len(taken) == 100


def test_a_node_with_another_version_is_named(
    cluster: Any, small: tuple[Path, Path], take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "site" / "cxr_io-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: cxr-io\nVersion: 9.9\n")
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    node = cluster.add_node(**NODE)
    try:
        with pytest.raises(cxr_io.CxrError, match=r"the same packages on all nodes; here -> on .*: cxr-io .* -> 9.9$"):
            take(small[0], tmp_path / "out", workers=None, executor="ray", address=cluster.address)
    finally:
        cluster.remove_node(node)
    assert not ray.is_initialized()
    assert not list((tmp_path / "out").glob("*.tar"))
