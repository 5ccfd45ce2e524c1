"""Facts about shards in an object store: a real S3 server that at times fails is uploaded to and streamed from."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import cxr_io
import pytest
from cxr_io import CxrError, ShardStream, _folder

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
moto_server = pytest.importorskip("moto.server", reason="moto's server is not installed")
# The client of the store leaves its connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
URL = "s3://bucket/shards"


class Server:
    """moto's S3 over HTTP; every `fails`-th request is answered by 503, and each is remembered."""

    def __init__(self) -> None:
        from werkzeug.serving import make_server

        self.fails, self.asked = 0, list[str]()
        self._store = moto_server.DomainDispatcherApplication(moto_server.create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __call__(self, environ: dict[str, object], start: Callable[..., object]) -> object:
        self.asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        if self.fails and len(self.asked) % self.fails == 0:
            start("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        return self._store(environ, start)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    found = Server()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{found.port}",
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_folder, "_WAITS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)  # so that it is ours that count
    s3fs.S3FileSystem.clear_instance_cache()
    with urlopen(Request(f"http://127.0.0.1:{found.port}/moto-api/reset", method="POST")):
        s3fs.S3FileSystem().mkdir("bucket")
    yield found
    s3fs.S3FileSystem.clear_instance_cache()
    found.stop()


@pytest.fixture
def shards(write_labelled: Callable[..., Path], take: Callable[..., object], tmp_path: Path) -> Path:
    take(write_labelled(tmp_path / "source", 16), tmp_path / "out")
    return tmp_path / "out"


def keys(shards: str | Path) -> list[str]:
    stream = ShardStream(shards, split="train", shuffle=True)
    found = [sample.key for sample in stream]
    assert stream.skipped == 0
    return found


def test_what_is_uploaded_streams_as_the_folder_does_though_requests_fail(server: Server, shards: Path) -> None:
    server.fails = 3
    index = json.loads((shards / "index.json").read_text())
    assert cxr_io.upload(shards, URL) == len(index["shards"]) + 1
    assert keys(URL) == keys(shards)


def test_a_second_upload_sends_what_changed(server: Server, shards: Path, take: Callable[..., object]) -> None:
    cxr_io.upload(shards, URL)
    server.asked.clear()
    assert cxr_io.upload(shards, URL) == 0
    assert not [asked for asked in server.asked if asked.startswith("PUT") and ".tar" in asked]
    source = shards.with_name("source")
    table = (source / "labels.csv").read_text().splitlines(keepends=True)
    (source / "labels.csv").write_text("".join(table[:-1]))
    take(source, shards)
    assert 0 < cxr_io.upload(shards, URL) <= 2 + 1
    assert keys(URL) == keys(shards)


def test_no_index_is_there_before_all_is(server: Server, shards: Path) -> None:
    cxr_io.upload(shards, URL)
    asked = [word.rpartition("/")[2] for word in server.asked if word.startswith("PUT")]
    assert asked[-1] == "index.json"
    assert not any("key" in word or "source" in word for word in asked)


def test_a_store_that_is_gone_is_one_sentence_and_no_damage(server: Server, shards: Path) -> None:
    cxr_io.upload(shards, URL)
    stream = ShardStream(URL, split="train")
    server.fails = 1
    with pytest.raises(CxrError, match=r"expected s3://bucket/shards/train-000000\.tar, 4 requests failed") as caught:
        next(iter(stream))
    assert caught.value.code == "unreachable"
    assert stream.skipped == 0


def test_what_is_damaged_or_may_name_files_is_not_sent(server: Server, shards: Path) -> None:
    shard, index = shards / "train-000000.tar", shards / "index.json"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + b"x")
    with pytest.raises(CxrError, match="verify the shards"):
        cxr_io.upload(shards, URL)
    shard.write_bytes(whole)
    index.write_text(
        json.dumps({name: value for name, value in json.loads(index.read_text()).items() if name != "samples"})
    )
    with pytest.raises(CxrError, match=r"version 0\.2"):
        cxr_io.upload(shards, URL)
    assert not [asked for asked in server.asked if asked.startswith("PUT") and "shards" in asked]


def test_a_folder_is_no_store(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(CxrError, match="a URL such as"):
        cxr_io.upload(shards, str(tmp_path / "elsewhere"))
