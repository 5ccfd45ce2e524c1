"""Facts about `raddino embed --executor ray` on a cluster of two nodes: the bytes of a local run, whatever dies."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import cxr_io
import numpy as np
import pytest
from raddino_cli.work.embedding import embed

ray = pytest.importorskip("ray", reason="ray is not installed; pip install 'raddino-cli[ray]'")
cluster_utils = pytest.importorskip("ray.cluster_utils")

Run = Callable[..., subprocess.CompletedProcess[str]]
PIXELS = "pixels:4@28/7"
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = cluster_utils.Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        found.add_node(**NODE)
    found.wait_for_nodes()
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 images of which one is damaged."""
    root = tmp_path_factory.mktemp("embed")
    (root / "source").mkdir()
    lines = ["path,split"]
    for i in range(100):
        pixels = np.random.default_rng(i).integers(0, 65535, (44, 36), dtype=np.uint16)
        cv2.imwrite(str(root / "source" / f"{i}.png"), pixels)
        lines.append(f"{i}.png,{'train' if i < 80 else 'test'}")
    (root / "source" / "labels.csv").write_text("\n".join(lines) + "\n")
    options = {"short_side": 32, "workers": 0, "samples_per_shard": 16, "key": "sixteen characters or so"}
    cxr_io.ingest(root / "source", root / "shards", **options)
    path = min((root / "shards").glob("train-*.tar"))
    data = bytearray(path.read_bytes())
    start = data.index(b"\x89PNG") + 60
    data[start : start + 200] = bytes(200)
    path.write_bytes(data)
    return root / "shards"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "f"
    assert embed(shards, PIXELS, out, patches=True, batch_size=4) == 99
    return content(out)


def test_files_are_those_of_a_local_run(cluster: Any, shards: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    options = {"batch_size": 4, "executor": "ray", "address": cluster.address}
    embed(shards, PIXELS, tmp_path / "f", patches=True, progress=lambda *n: told.append(n), **options)  # type: ignore[arg-type]
    assert content(tmp_path / "f") == whole
    assert told[-1] == (99, 100)
    assert not ray.is_initialized()  # what it joined it left


def test_a_killed_worker_and_a_killed_node_cost_their_unfinished_pieces_alone(
    cluster: Any, shards: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    node = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    killed: list[int] = []

    def kill(done: int, _total: int) -> None:
        if not killed:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                if path.read_bytes().startswith(b"ray::encode_piece"):
                    killed.append(int(path.parent.name))
                    os.kill(killed[-1], signal.SIGKILL)
        elif done > 40 and node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)

    embed(
        shards, PIXELS, tmp_path / "f", patches=True, batch_size=4, executor="ray", address=cluster.address,
        progress=kill,
    )  # fmt: skip
    assert killed
    assert node not in cluster.worker_nodes
    assert content(tmp_path / "f") == whole


def test_a_run_that_was_stopped_goes_on_and_few_pieces_are_ahead(
    cluster: Any, shards: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    def stop(done: int, _total: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    options = {"patches": True, "batch_size": 4, "executor": "ray", "address": cluster.address}
    with pytest.raises(KeyboardInterrupt):
        embed(shards, PIXELS, tmp_path / "f", progress=stop, **options)  # type: ignore[arg-type]
    seen: list[int] = []
    embed(shards, PIXELS, tmp_path / "f", progress=lambda done, _: seen.append(done), **options)  # type: ignore[arg-type]
    assert 20 < min(seen) < 40
    assert content(tmp_path / "f") == whole


def test_what_can_not_be_is_one_line(cluster: Any, raddino: Run, shards: Path, tmp_path: Path) -> None:
    words = ["embed", shards, "--encoder", PIXELS, "--out", tmp_path / "f"]
    ray_there = ["--executor", "ray", "--address"]
    for more, expected in (
        (["--executor", "slurm"], "an executor of local, ray; got 'slurm'"),
        (["--address", "auto"], "--executor ray with the address"),
        ([*ray_there, "127.0.0.1:9"], "expected a Ray cluster at 127.0.0.1:9"),
        ([*ray_there, cluster.address, "--grid", 9], "a grid of at most 4 cells"),  # told by a node
    ):
        done = raddino(*words, *more)
        assert done.returncode == 1
        assert expected in done.stderr.strip().splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_a_node_with_another_version_is_one_line(
    cluster: Any, raddino: Run, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "site" / "raddino_cli-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: raddino-cli\nVersion: 9.9\n")
    with monkeypatch.context() as environment:
        environment.setenv("PYTHONPATH", str(other.parent))
        node = cluster.add_node(**NODE)
    there = ["--executor", "ray", "--address", cluster.address]
    done = raddino("embed", shards, "--encoder", PIXELS, "--out", tmp_path / "f", *there)
    cluster.remove_node(node)
    assert done.returncode == 1
    assert "the same packages on all nodes; here -> on " in done.stderr.strip().splitlines()[-1]
    assert f"raddino-cli {version('raddino-cli')} -> 9.9" in done.stderr
    assert not (tmp_path / "f.part").exists()
