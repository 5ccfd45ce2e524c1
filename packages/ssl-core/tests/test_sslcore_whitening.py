"""A whitened start: every direction of a patch arrives at the first block with like strength."""

import pytest
import ssl_core
import torch


def smooth(count: int, seed: int = 0) -> torch.Tensor:
    """Images whose neighbouring pixels are alike, as in radiographs."""
    noise = torch.randn(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed))
    return noise.cumsum(2).cumsum(3) / 16 + 0.3 * noise


def embedded(outputs: int, floor: float) -> torch.Tensor:
    embed = ssl_core.PatchEmbed(1, outputs, 4)
    images = smooth(400)
    ssl_core.whiten_patch_embed(embed, images, floor, torch.Generator().manual_seed(1))
    return embed(images).flatten(0, 1).detach()


@pytest.mark.parametrize("outputs", [16, 8])
def test_whitened_patches_have_mean_zero_and_identity_covariance(outputs: int) -> None:
    tokens = embedded(outputs, 0.0)
    assert tokens.mean(dim=0).abs().max() < 1e-3
    assert torch.allclose(torch.cov(tokens.T), torch.eye(outputs), atol=1e-2)


def test_the_floor_keeps_what_is_far_below_it_small() -> None:
    spread = torch.linalg.eigvalsh(torch.cov(embedded(16, 1.0).T))
    assert spread.max() < 1
    assert spread.min() < 0.1 * spread.max()


def test_more_outputs_than_components_repeat_them() -> None:
    tokens = embedded(24, 0.0)
    assert torch.linalg.matrix_rank(torch.cov(tokens.T), rtol=1e-3) == 16
