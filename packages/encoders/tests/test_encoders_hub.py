"""Ids of the hub: a server that answers as the hub does, its cache on this machine, and neither."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from raddino_encoders import EncoderError, load

transformers = pytest.importorskip("transformers", reason="needs transformers to write a folder")
COMMIT = "36e4788" + "0" * 33
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)


class _Hub(BaseHTTPRequestHandler):
    """What huggingface_hub asks of the hub: a revision's files, and each file with its commit and digest."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        self.asked.append(self.path)
        name = self.path.partition("?")[0].rpartition("/")[2]
        if self.path.startswith("/api/models/someone/small/revision/") and name in ("main", "v1", COMMIT):
            siblings = [{"rfilename": name} for name in self.files]
            facts = {"id": "someone/small", "modelId": "someone/small", "sha": COMMIT, "siblings": siblings}
            self._send(json.dumps(facts).encode(), body, {"Content-Type": "application/json"})
        elif self.path.startswith("/api/models/someone/small/tree/"):
            listing = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in self.files.items()
            ]
            self._send(json.dumps(listing).encode(), body, {"Content-Type": "application/json"})
        elif self.path.startswith("/someone/small/resolve/") and name in self.files:
            content = self.files[name]
            self._send(content, body, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})
        else:
            kind = "RevisionNotFound" if self.path.startswith("/api/models/someone/small") else "RepoNotFound"
            self.send_response(404)
            self.send_header("X-Error-Code", kind)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, content, body, headers):
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one repository, and an empty cache."""
    from huggingface_hub import constants

    torch.manual_seed(1)  # not RANDOM_SEED, whose weights it would share
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "small")
    _Hub.files = {path.name: path.read_bytes() for path in (tmp_path / "small").iterdir()}
    _Hub.files |= {"pytorch_model.bin": b"a pickle", "modeling.py": b"raise SystemExit"}
    _Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(
        "huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        raising=False,
    )
    yield _Hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_id_is_fetched_once_and_read_offline_ever_after(hub, tmp_path):
    encoder = load("someone/small@v1")
    assert encoder.revision == COMMIT
    fetched = {path.rpartition("/")[2] for path in hub.asked}
    assert {"config.json", "model.safetensors"} <= fetched
    assert not fetched & {"pytorch_model.bin", "modeling.py"}  # neither pickles nor code are asked for
    hub.asked.clear()
    again = load("someone/small@v1", offline=True)
    pinned = load(f"someone/small@{COMMIT}", offline=True)
    assert hub.asked == []
    for other in (again, pinned, load(tmp_path / "small")):
        np.testing.assert_array_equal(encoder.embed([IMAGE]).cls, other.embed([IMAGE]).cls)
    assert not np.array_equal(encoder.embed([IMAGE]).cls, load("random:someone/small@v1").embed([IMAGE]).cls)


def test_what_the_hub_and_the_cache_lack_is_one_error(hub):
    with pytest.raises(EncoderError, match=r"cache on this machine \(offline\).*near: none"):
        load("someone/small", offline=True)
    with pytest.raises(EncoderError, match="expected an encoder in the hub"):
        load("someone/small@no-such-tag")
    with pytest.raises(EncoderError, match=r"near: .*microsoft/rad-dino"):
        load("microsoft/rad-dno")


def test_a_path_that_is_mistyped_is_no_id(tmp_path, monkeypatch):
    (tmp_path / "runs" / "first").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderError, match=r"neither a kind nor a folder\. Near: runs/first"):
        load("runs/frist")
    with pytest.raises(EncoderError, match=r"Near: .*microsoft/rad-dino"):
        load("rad-dino")
