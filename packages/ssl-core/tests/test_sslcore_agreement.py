"""Processes that differ, or don't find each other, are told in one line before anything is trained."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ssl_core
from ssl_core._agreement import Facts, clock_warning, refuse_difference
from test_sslcore_train import config

SCRIPT = """
import os, pathlib, sys
if os.environ["RANK"] == "1":
    sys.path.insert(0, {site!r})
sys.path.insert(0, {here!r})
from test_sslcore_train import config, images
import ssl_core
with ssl_core.process_group(device="cpu") as device:
    try:
        ssl_core.Trainer(config("train.seed=" + os.environ["RANK"]), images(), {out!r}, device="cpu")
    except ssl_core.SslError as error:
        pathlib.Path({out!r} + os.environ["RANK"]).write_text(str(error))
"""


@pytest.mark.slow
def test_a_host_with_another_version_and_configuration_is_named_in_every_process(tmp_path: Path) -> None:
    other = tmp_path / "site" / "ssl_core-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: ssl-core\nVersion: 9.9\n")
    script = tmp_path / "script.py"
    names = {"site": str(other.parent), "here": str(Path(__file__).parent), "out": str(tmp_path / "run")}
    script.write_text(SCRIPT.format(**names))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = [(tmp_path / f"run{number}").read_text() for number in (0, 1)]
    assert told[0] == told[1]
    assert "-> process 1 on" in told[0]
    assert f"ssl-core {ssl_core.__version__} -> 9.9; train.seed: 0 -> 1" in told[0]
    assert not (tmp_path / "run").exists()


def facts(**other: object) -> Facts:
    return dataclasses.replace(Facts("a", {"torch": "2"}, config(), 20, 1e9), **other)  # type: ignore[arg-type]


def test_what_differs_is_named_and_what_does_not_passes() -> None:
    refuse_difference([facts(), facts(host="b", clock=1e9 + 60)])
    with pytest.raises(ssl_core.SslError, match=r"process 0 on a -> process 2 on c: torch 2 -> 3; images 20 -> 21"):
        refuse_difference([facts(), facts(), facts(host="c", software={"torch": "3"}, images=21)])


def test_clocks_far_apart_are_told() -> None:
    assert clock_warning([facts(), facts(clock=1e9 + 4)]) == ""
    told = clock_warning([facts(clock=1e9 + 30), facts(host="b"), facts(host="c", clock=1e9 + 90)])
    assert told.startswith("the clock of c is 90 s ahead of that of b")


def test_an_address_where_nobody_is_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    message = r"2 processes to meet at MASTER_ADDR:MASTER_PORT = 127.0.0.1:9; process 1 did not"
    with pytest.raises(ssl_core.SslError, match=message), ssl_core.process_group(device="cpu", timeout=1):
        pass
