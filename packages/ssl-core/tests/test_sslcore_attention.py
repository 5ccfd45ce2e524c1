"""Back-ends of attention agree, wherever each can run."""

import subprocess
import sys
from pathlib import Path

import pytest
import ssl_core
import torch
from test_sslcore_train import config, images


def draw(images: int, tokens: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(images, 2, tokens, 32, generator=generator).to(device, dtype) for _ in range(3)]


def run(backend: str, tensors: list[torch.Tensor]) -> torch.Tensor:
    with ssl_core.force_attention(backend):
        return ssl_core.attention(*tensors)


@pytest.mark.parametrize("tokens", [1, 5, 257])
def test_sdpa_equals_the_formula(tokens: int) -> None:
    tensors = draw(3, tokens)
    assert (run("sdpa", tensors) - run("plain", tensors)).abs().max() <= 1e-5


def test_a_packed_sequence_with_its_mask_is_a_batch_of_images() -> None:
    q, k, v = draw(3, 5)
    packed = [x.transpose(1, 2).flatten(0, 1).transpose(0, 1) for x in (q, k, v)]
    apart = torch.block_diag(*[torch.ones(5, 5)] * 3).bool()
    weights = (packed[0] @ packed[1].transpose(-2, -1) / 32**0.5).masked_fill(~apart, -torch.inf)
    together = (weights.softmax(-1) @ packed[2]).transpose(0, 1).unflatten(0, (3, 5)).transpose(1, 2)
    assert (together - run("plain", [q, k, v])).abs().max() <= 1e-6


def test_the_mask_that_xformers_is_given_keeps_images_apart() -> None:
    # In a process of its own: importing xformers takes seconds and warns where its extension doesn't load.
    code = (
        "import torch\nfrom ssl_core._attention import block_diagonal\n"
        "mask = block_diagonal(3, 5).materialize((15, 15))\n"
        "apart = torch.block_diag(*[torch.ones(5, 5)] * 3).bool()\n"
        "assert torch.equal(mask == 0, apart) and (mask[~apart] == -torch.inf).all()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "expected xformers" in done.stderr:
        pytest.skip("xformers is not installed")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", ["varlen", "xformers"])
def test_a_backend_without_an_operator_for_the_device_says_so(backend: str) -> None:
    with pytest.raises(ssl_core.SslError, match="runs on CUDA, got tensors on cpu"):
        run(backend, draw(1, 5))


def test_a_backend_of_half_precision_is_refused_in_float32() -> None:
    with pytest.raises(ssl_core.SslError, match=r"set train\.precision=bfloat16"):
        config("train.attention=varlen")


def test_an_unknown_backend_names_those_that_exist() -> None:
    with pytest.raises(ssl_core.SslError, match="sdpa"), ssl_core.force_attention("flash"):
        pass


def test_a_run_uses_the_attention_of_its_configuration(tmp_path: Path) -> None:
    with pytest.raises(ssl_core.SslError, match="'xformers' runs on CUDA"):
        ssl_core.Trainer(config("train.attention=xformers"), images(), tmp_path, device="cpu").fit()
