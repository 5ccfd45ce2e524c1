"""Gram anchoring: what is held is how alike patches are, and to whom."""

from pathlib import Path

import pytest
import ssl_core
import torch
from test_sslcore_train import config, equal, images, weights

GRAM = ("loss.gram_weight=2", "loss.gram_start=2", "loss.gram_every=3", "train.steps=8", "optim.warmup=0")


def test_the_loss_is_the_mean_squared_difference_of_cosines() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)

    def cosine(x: torch.Tensor, i: int, j: int) -> float:
        return float(x[i] @ x[j] / x[i].norm() / x[j].norm())

    total = sum((cosine(a[k], i, j) - cosine(b[k], i, j)) ** 2 for k in range(2) for i in range(3) for j in range(3))
    assert float(ssl_core.gram_loss(a, b)) == pytest.approx(total / 18, rel=1e-12)
    turn, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))
    assert float(ssl_core.gram_loss(a, 3 * a @ turn)) == pytest.approx(0, abs=1e-24)  # lengths and axes are free
    assert ssl_core.gram_loss(a.bfloat16(), b.bfloat16()).dtype == torch.float32


def test_the_anchor_is_the_teacher_of_the_step_at_which_it_was_renewed(tmp_path: Path) -> None:
    trainer = ssl_core.Trainer(config(*GRAM), images(), tmp_path, device="cpu")
    held = []
    for step in range(8):
        teacher = {k: v.clone() for k, v in trainer.model.teacher.backbone.state_dict().items()}
        trainer.train_step()
        terms = trainer._settle()
        assert ("gram" in terms) == (step >= 2)
        assert trainer.model.anchor is not None
        held.append({k: v.clone() for k, v in trainer.model.anchor.state_dict().items()})
        if step in (2, 5):
            assert equal(held[-1], teacher)
            assert terms["gram"] > 0  # the student has moved on, or sees masks
        elif step > 2:
            assert equal(held[-1], held[-2])
    assert not any(p.requires_grad for p in trainer.model.anchor.parameters())


def test_the_loss_enters_the_sum_with_its_weight_and_only_the_student_learns_from_it() -> None:
    model = ssl_core.build(config(*GRAM, "loss.gram_start=0", "model.drop_path=0"))
    batch = ssl_core.make_batch(config(), images(), 0)[1]
    model.renew_anchor(0)
    terms = model(batch, 0.05)
    rest = terms["dino_global"] + terms["dino_local"] + terms["ibot"] + 0.02 * terms["koleo"]
    assert float((terms["loss"] - rest).detach()) == pytest.approx(2 * float(terms["gram"].detach()), rel=1e-4)
    terms["gram"].backward()
    assert all(p.grad is None for p in model.anchor.parameters())
    assert model.student.backbone.norm.weight.grad.abs().max() > 0


def test_a_run_with_an_anchor_resumes_exactly(tmp_path: Path) -> None:
    ssl_core.Trainer(config(*GRAM), images(), tmp_path / "whole", device="cpu").fit()
    parts = ssl_core.Trainer(config(*GRAM), images(), tmp_path / "parts", device="cpu")
    for _ in range(4):
        parts.train_step()
    parts.save()
    again = ssl_core.Trainer(config(*GRAM), images(), tmp_path / "parts", device="cpu")
    assert again.step == 4
    again.fit()
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_without_a_weight_there_is_no_anchor() -> None:
    assert ssl_core.build(config()).anchor is None
    with pytest.raises(ssl_core.SslError, match=r"loss\.gram_every must be a number from 1"):
        config("loss.gram_every=0")
