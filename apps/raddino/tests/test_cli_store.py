"""Facts about shards in an object store: the commands read them by URL, from a real S3 server that at times fails."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import cv2
import cxr_io
import numpy as np
import pytest
from safetensors.numpy import load_file

pytest.importorskip("s3fs", reason="s3fs is not installed")
moto_server = pytest.importorskip("moto.server", reason="moto's server is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # its sockets are left to the garbage collector

Run = Callable[..., subprocess.CompletedProcess[str]]
URL = "s3://bucket/shards"
TINY = [
    f"--set={setting}"
    for setting in (
        "model.embed_dim=32", "model.depth=1", "model.num_heads=2", "head.prototypes=32", "head.hidden=32",
        "head.bottleneck=16", "crops.global_size=32", "crops.local_size=16", "crops.encode_size=32",
        "train.batch_size=4", "train.steps=2",
    )
]  # fmt: skip


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """S3 over HTTP by moto, with a bucket; every fifth request of a shard is answered by 503. What failed is kept."""
    from werkzeug.serving import make_server

    application = moto_server.DomainDispatcherApplication(moto_server.create_backend_app)
    asked, failed = list[str](), list[str]()

    def serve(environ: dict[str, str], start: Callable[..., object]) -> object:
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].startswith("/bucket/"):
            asked.append(environ["PATH_INFO"])
            if len(asked) % 5 == 0:
                failed.append(asked[-1])
                start("503 Service Unavailable", [("Content-Length", "0")])
                return [b""]
        return application(environ, start)

    server = make_server("127.0.0.1", 0, serve, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    place = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "AWS_ENDPOINT_URL": place, "AWS_ACCESS_KEY_ID": "anyone", "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with urlopen(Request(f"{place}/moto-api/reset", method="POST")), urlopen(Request(f"{place}/bucket", method="PUT")):
        yield failed
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    (root / "source").mkdir()
    rows = ["path,split"]
    for i in range(12):
        cv2.imwrite(str(root / "source" / f"{i}.png"), np.random.default_rng(i).integers(0, 65535, (64, 64), np.uint16))
        rows.append(f"{i}.png,{'train' if i < 8 else 'test'}")
    (root / "source" / "labels.csv").write_text("\n".join(rows) + "\n")
    key = "sixteen characters or more"
    cxr_io.ingest(root / "source", root / "shards", short_side=48, workers=0, samples_per_shard=3, key=key)
    return root / "shards"


@pytest.mark.slow
def test_a_run_and_features_from_a_store_are_those_from_a_folder(
    raddino: Run, store: list[str], shards: Path, tmp_path: Path
) -> None:
    assert raddino("data", "upload", shards, URL).returncode == 0
    for name, place in (("folder", shards), ("store", URL)):
        out = tmp_path / name
        done = raddino("pretrain", place, "--out", out, "--stream", *TINY)
        assert done.returncode == 0, done.stderr
        done = raddino("embed", place, "--encoder", "pixels:8", "--out", tmp_path / f"{name}-features")
        assert done.returncode == 0, done.stderr
    assert store, "expected requests to fail"
    here, there = (load_file(tmp_path / name / "encoder" / "model.safetensors") for name in ("folder", "store"))
    assert all(np.array_equal(here[name], there[name]) for name in here)
    for name in ("cls.npy", "samples.parquet", "features.json"):
        assert (tmp_path / "folder-features" / name).read_bytes() == (tmp_path / "store-features" / name).read_bytes()
    lists = [(tmp_path / name / "training.csv").read_text().splitlines()[1:] for name in ("folder", "store")]
    assert lists[0] == lists[1]
    assert len(lists[0]) == 1 + 8
