"""Processes and hosts that die in the middle: torchrun starts again, and the run ends as if nothing had happened."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ssl_core
from test_sslcore_distributed import SHARED, largest_difference, run
from test_sslcore_train import config, equal, images, weights

STEPS = ["train.steps=20", "train.checkpoint_every=4"]
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
SCRIPT = """
import os, pathlib, sys, torch
sys.path.insert(0, {here!r})
torch.set_num_threads(1)
from test_sslcore_train import config, images
import ssl_core
out = pathlib.Path(sys.argv[1])
place = os.environ["TORCHELASTIC_RESTART_COUNT"] + "-" + os.environ["RANK"]
out.with_name(out.name + ".pid-" + place).write_text(str(os.getpid()))
with ssl_core.process_group(device="cpu") as device:
    ssl_core.Trainer(config(*sys.argv[2:]), images(), out, device=str(device)).fit()
"""


def command(out: Path, *torchrun: str) -> list[str]:
    script = out.with_suffix(".py")
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    return [sys.executable, "-m", "torch.distributed.run", *torchrun, str(script), str(out)]


def wait_for(path: Path, *processes: subprocess.Popen[bytes]) -> None:
    """Until a file is there, or a process has ended without it."""
    ends = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < ends, path
        assert all(process.poll() is None for process in processes), path
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parallel", "checkpoint"),
    [
        (["train.parallel=ddp"], "step-00000008.safetensors"),
        (["train.parallel=fsdp", "train.sharded_checkpoints=true"], "step-00000008"),
    ],
    ids=["ddp", "fsdp"],
)
def test_a_killed_process_is_started_again_and_the_weights_are_those_of_an_undisturbed_run(
    parallel: list[str], checkpoint: str, tmp_path: Path
) -> None:
    settings = [*STEPS, "train.keep_checkpoints=9", *parallel]
    done = run(2, tmp_path / "whole", *settings)
    assert done.returncode == 0, done.stderr[-3000:]
    words = command(tmp_path / "killed", "--standalone", "--nproc-per-node=2", "--max-restarts=2")
    with (tmp_path / "errors.txt").open("w") as errors:
        process = subprocess.Popen([*words, *settings], env={**os.environ, **LOOPBACK}, stderr=errors)
        wait_for(tmp_path / "killed" / "checkpoints" / checkpoint, process)
        os.kill(int((tmp_path / "killed.pid-0-1").read_text()), signal.SIGKILL)
        assert process.wait(timeout=200) == 0, (tmp_path / "errors.txt").read_text()[-3000:]
    assert (tmp_path / "killed.pid-1-1").exists()
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    rows = (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(1, 21))


@contextlib.contextmanager
def two_hosts() -> Iterator[list[list[str]]]:
    """Two network namespaces joined by a cable: the words before a command that run it on each."""
    names = [f"raddino-{os.getpid()}-{i}" for i in (0, 1)]
    plug = [f"rd{os.getpid() % 100000}{end}" for end in "ab"]

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", plug[0], "netns", names[0], "type", "veth", "peer", "name", plug[1], "netns", names[1])
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs iproute2 and the right to make network namespaces: {error}")
        for i, name in enumerate(names):
            ip("-n", name, "address", "add", f"10.77.0.{i + 1}/24", "dev", plug[i])
            for device in ("lo", plug[i]):
                ip("-n", name, "link", "set", device, "up")
        said = ["OMP_NUM_THREADS=1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"]  # the second for restarts, as in README.md
        yield [
            ["ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={end}", *said]
            for name, end in zip(names, plug, strict=True)
        ]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.slow
def test_when_one_of_two_hosts_is_lost_the_other_goes_on_alone(tmp_path: Path) -> None:
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2, for network namespaces as hosts")
    settings = [*SHARED, "train.steps=200", "train.checkpoint_every=5", "train.keep_checkpoints=99"]
    ssl_core.Trainer(config(*settings), images(), tmp_path / "one", device="cpu").fit()
    with two_hosts() as hosts, contextlib.ExitStack() as stack:
        agents = [start_agent(stack, host, i, "1:2", tmp_path / "two", *settings) for i, host in enumerate(hosts)]
        wait_for(tmp_path / "two" / "checkpoints" / "step-00000010.safetensors", *agents)
        assert len(list(tmp_path.glob("two.pid-0-?"))) == 2
        cut_power(hosts[1], agents[1])
        assert agents[0].wait(timeout=200) == 0, (tmp_path / "two-0.txt").read_text()[-3000:]
    assert largest_difference(weights(tmp_path / "one"), weights(tmp_path / "two")) < 1e-3


@pytest.mark.slow
def test_when_a_host_is_lost_and_replaced_the_weights_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2, for network namespaces as hosts")
    settings = [*STEPS, "train.keep_checkpoints=9"]
    done = run(2, tmp_path / "whole", *settings)
    assert done.returncode == 0, done.stderr[-3000:]
    with two_hosts() as hosts, contextlib.ExitStack() as stack:
        agents = [start_agent(stack, host, i, "2", tmp_path / "lost", *settings) for i, host in enumerate(hosts)]
        wait_for(tmp_path / "lost" / "checkpoints" / "step-00000008.safetensors", *agents)
        cut_power(hosts[1], agents[1])
        agents[1] = start_agent(stack, hosts[1], 1, "2", tmp_path / "lost", *settings)
        for i, agent in enumerate(agents):
            assert agent.wait(timeout=200) == 0, (tmp_path / f"lost-{i}.txt").read_text()[-3000:]
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "lost"))
    rows = (tmp_path / "lost" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(1, 21))


def start_agent(
    stack: contextlib.ExitStack, host: list[str], number: int, hosts: str, out: Path, *settings: str
) -> subprocess.Popen[bytes]:
    """A torchrun on a host, that ends with the stack; its errors are in `<out>-<number>.txt`."""
    patience = "last_call_timeout=5,keep_alive_interval=1,keep_alive_max_attempt=3"
    words = command(
        out, f"--nnodes={hosts}", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-backend=c10d",
        "--rdzv-endpoint=10.77.0.1:29400", "--rdzv-id=run", f"--local-addr=10.77.0.{number + 1}",
        f"--rdzv-conf={patience},is_host={number == 0}",
    )  # fmt: skip
    errors = stack.enter_context(out.with_name(f"{out.name}-{number}.txt").open("a"))
    agent = subprocess.Popen([*host, *words, *settings], stderr=errors)
    stack.callback(cut_power, host, agent)
    return agent


def cut_power(host: list[str], agent: subprocess.Popen[bytes]) -> None:
    """End at once whatever runs on a host."""
    found = subprocess.run(["ip", "netns", "pids", host[3]], capture_output=True, text=True, check=True)
    for number in found.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)
    agent.wait()
