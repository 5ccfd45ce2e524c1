"""The loss over many prototypes, in chunks: the plain formula's numbers without its matrices."""

import subprocess
import sys
from pathlib import Path

import pytest
import ssl_core
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ssl_core import _targets

COMPILED = """
import sys, torch
sys.path.insert(0, {here!r})
import ssl_core
from ssl_core import _targets
from test_sslcore_prototypes import draw
_targets.CHUNK = 5 * 40  # the last chunk is of another size
for n in (12, 5, 9):
    student, mine, teacher, theirs, weights = draw(n, 40, 8, torch.float32)
    targets = ssl_core.Targets(ssl_core.Logits(teacher, theirs), 0.05, torch.zeros(40))
    found = []
    for compiled in (False, True):
        a, b = student.clone().requires_grad_(), mine.clone().requires_grad_()
        loss = ssl_core.prototype_cross_entropy(a, b, targets, weights, 0.1, compiled=compiled)
        loss.backward()
        found.append((loss.detach(), a.grad, b.grad))
    for plainly, fused in zip(*found, strict=True):
        assert torch.allclose(plainly, fused, rtol=1e-5, atol=1e-6)
"""


def draw(n: int, k: int, d: int, dtype: torch.dtype, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize
    student, teacher, mine, theirs = (
        unit(torch.randn(rows, d, generator=generator, dtype=dtype), dim=1) for rows in (n, n, k, k)
    )
    return student, mine, teacher, theirs, torch.rand(n, generator=generator, dtype=dtype)


def plain(
    student: torch.Tensor, mine: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, temperature: float
) -> torch.Tensor:
    logits = student @ mine.T / temperature
    return -((target * logits.log_softmax(-1)).sum(1) * weights).sum()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(2, 40), st.integers(1, 200), st.booleans(), st.integers(0, 100))
def test_loss_and_gradients_in_chunks_equal_the_plain_formula(
    n: int, k: int, chunk: int, sinkhorn: bool, seed: int
) -> None:
    student, mine, teacher, theirs, weights = draw(n, k, 5, torch.float64, seed)
    whole = ssl_core.Logits(teacher, theirs)
    bias = ssl_core.sinkhorn_bias(whole, 0.05) if sinkhorn else torch.rand(k, dtype=torch.float64)
    target = ((teacher @ theirs.T) / 0.05 + bias).softmax(-1)
    a, b = [x.clone().requires_grad_() for x in (student, mine)], [x.clone().requires_grad_() for x in (student, mine)]
    expected = plain(*a, target, weights, 0.1)
    (3 * expected).backward()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_targets, "CHUNK", chunk)
        logits = ssl_core.Logits(teacher, theirs)
        if sinkhorn:
            assert torch.allclose(ssl_core.sinkhorn_bias(logits, 0.05), bias, rtol=1e-12, atol=1e-12)
        got = ssl_core.prototype_cross_entropy(*b, ssl_core.Targets(logits, 0.05, bias), weights, 0.1)
    (3 * got).backward()
    assert torch.allclose(got, expected, rtol=1e-12)
    for ours, theirs_ in zip(b, a, strict=True):
        assert ours.grad is not None
        assert theirs_.grad is not None
        assert (ours.grad - theirs_.grad).abs().max() <= 1e-10 * theirs_.grad.abs().max()


@pytest.mark.slow
def test_compiled_it_gives_the_same_loss_and_gradients_for_any_number_of_rows() -> None:
    # In a process of its own, where no shapes are checked: the checks can't be compiled.
    subprocess.run([sys.executable, "-c", COMPILED.format(here=str(Path(__file__).parent))], check=True)


def test_gradients_in_float32_are_within_a_ten_thousandth_of_float64() -> None:
    found = []
    for dtype in (torch.float32, torch.float64):
        student, mine, teacher, theirs, weights = draw(64, 512, 16, torch.float64)
        x, w = student.to(dtype).requires_grad_(), mine.to(dtype).requires_grad_()
        logits = ssl_core.Logits(teacher.to(dtype), theirs.to(dtype))
        targets = ssl_core.Targets(logits, 0.04, ssl_core.sinkhorn_bias(logits, 0.04))
        ssl_core.prototype_cross_entropy(x, w, targets, weights.to(dtype), 0.1).backward()
        found.append((x.grad, w.grad))
    for single, double in zip(*found, strict=True):
        assert single is not None
        assert double is not None
        assert (single - double).abs().max() <= 1e-4 * double.abs().max()


def test_no_masked_patch_is_no_loss() -> None:
    _, mine, _, theirs, _ = draw(1, 8, 4, torch.float32)
    rows = torch.zeros(0, 4, requires_grad=True)
    logits = ssl_core.Logits(torch.zeros(0, 4), theirs)
    targets = ssl_core.Targets(logits, 0.04, ssl_core.sinkhorn_bias(logits, 0.04))
    loss = ssl_core.prototype_cross_entropy(rows, mine.requires_grad_(), targets, torch.zeros(0), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert mine.grad is not None
    assert not mine.grad.any()
