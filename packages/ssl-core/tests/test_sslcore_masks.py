"""Block masks: how much they hide, where, and that they are distributed as the reference's."""

import itertools
import json
from pathlib import Path

import pytest
import ssl_core
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

GOLDEN = next(
    (p / "shared" / "golden" for p in Path(__file__).resolve().parents if (p / "shared" / "golden").is_dir()),
    Path("absent"),
)
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="shared/golden, the reference's numbers, is not here")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def masks(crops: int, grid: tuple[int, ...], seed: int = 0, exact: bool = False) -> torch.Tensor:
    return ssl_core.crop_masks(crops, grid, probability=0.5, ratio=(0.1, 0.5), exact=exact, generator=generator(seed))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 16), min_size=2, max_size=3), st.floats(0, 0.9), st.integers(0, 10**6))
def test_a_mask_never_exceeds_the_request(grid: list[int], share: float, seed: int) -> None:
    count = int(torch.tensor(grid).prod() * share)
    mask = ssl_core.block_mask(grid, count, generator(seed))
    assert list(mask.shape) == grid
    assert int(mask.sum()) <= count


@pytest.mark.parametrize("grid", [(16, 16), (37, 37), (8, 8, 8), (4, 14, 14)])
def test_a_mask_ends_hardly_short_of_the_request(grid: tuple[int, ...]) -> None:
    patches = int(torch.tensor(grid).prod())
    for seed, share in itertools.product(range(20), (0.1, 0.3, 0.5)):
        got = int(ssl_core.block_mask(grid, int(patches * share), generator(seed)).sum())
        assert got >= 0.9 * int(patches * share), (seed, share)


@pytest.mark.parametrize("grid", [(16, 16), (8, 10, 12)])
def test_masks_are_made_of_blocks(grid: tuple[int, ...]) -> None:
    drawn = torch.stack([ssl_core.block_mask(grid, 100, generator(seed)) for seed in range(20)]).float()
    pairs = sum(float((drawn.narrow(a, 1, n - 1) * drawn.narrow(a, 0, n - 1)).sum()) for a, n in enumerate(grid, 1))
    apart = len(grid) * float(drawn.mean())  # what as many single patches, scattered, would have at most
    assert pairs / float(drawn.sum()) > 1.2 * apart
    assert pairs / float(drawn.sum()) > 1.2


def test_volumes_one_patch_thick_are_masked_like_pictures() -> None:
    counts = [int(ssl_core.block_mask((1, 12, 12), 40, generator(seed)).sum()) for seed in range(20)]
    assert min(counts) >= 32


@pytest.mark.parametrize("grid", [(8, 8), (4, 4, 4)])
def test_exactly_the_stated_share_of_crops_is_masked(grid: tuple[int, ...]) -> None:
    for seed in range(5):
        assert int((masks(17, grid, seed).sum(dim=1) > 0).sum()) == 8


def test_ratios_are_stratified_one_in_each_bin() -> None:
    hidden = masks(16, (37, 37)).sum(dim=1).sort().values[8:] / 37**2
    edges = torch.linspace(0.1, 0.5, 9)
    assert (hidden <= edges[1:]).all()
    assert (hidden >= edges[:-1] - 0.02).all()  # a mask may end a little short


def test_an_image_may_have_none_one_or_both_of_its_crops_masked() -> None:
    seen = {int(n) for seed in range(5) for n in (masks(16, (8, 8), seed).any(dim=1)).view(2, 8).sum(dim=0)}
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("grid", [(16, 16), (37, 37), (4, 6, 6)])
def test_exact_masks_hide_the_same_number_of_patches_at_every_step(grid: tuple[int, ...]) -> None:
    patches = int(torch.tensor(grid).prod())
    wanted = sum(int(patches * edge) for edge in torch.linspace(0.1, 0.5, 9)[1:].tolist())
    counts = {int(masks(16, grid, seed, exact=True).sum()) for seed in range(10)}
    assert counts == {wanted}
    assert len({int(masks(16, grid, seed).sum()) for seed in range(10)}) > 1


def test_the_configuration_asks_for_exact_masks() -> None:
    tiny = ["train.batch_size=4", "masks.exact=true"]
    config = ssl_core.load_config("cpu-tiny", tiny)
    images = torch.rand(8, 1, 96, 96)
    assert len({int(ssl_core.make_batch(config, images, step)[1].masks.sum()) for step in range(4)}) == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [("masks.probability=1.1", "masks.probability must be a number"), ("masks.ratio=[0.5,0.1]", "two rising numbers")],
)
def test_masks_that_cannot_be_are_refused(override: str, message: str) -> None:
    with pytest.raises(ssl_core.SslError, match=message):
        ssl_core.load_config("cpu-tiny", [override])


def statistics(grid: int, count: int, draws: int) -> dict[str, tuple[float, float]]:
    """Mean and standard error of the reference's statistics over masks of our own."""
    chance = generator(count)
    drawn = torch.stack([ssl_core.block_mask((grid, grid), count, chance) for _ in range(draws)]).double()
    edge = torch.ones(grid, grid, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    middle = slice(grid // 2 - 2, grid // 2 + 2)
    pairs = (drawn[:, 1:] * drawn[:, :-1]).sum((1, 2)) + (drawn[:, :, 1:] * drawn[:, :, :-1]).sum((1, 2))
    each = {
        "mean_count": drawn.sum((1, 2)),
        "corner_mean_prob": drawn[:, :: grid - 1, :: grid - 1].mean((1, 2)),
        "edge_mean_prob": drawn[:, edge].mean(1),
        "centre_4x4_mean_prob": drawn[:, middle, middle].mean((1, 2)),
        "masked_neighbour_pairs_per_masked_token": pairs / drawn.sum((1, 2)),
    }
    return {name: (float(v.mean()), float(v.std()) / draws**0.5) for name, v in each.items()}


@golden
@pytest.mark.parametrize("grid", [16, 37])
def test_masks_are_distributed_as_the_reference_s(grid: int) -> None:
    cases = json.loads((GOLDEN / "masking.json").read_text())["grids"][f"{grid}x{grid}"]["by_request"]
    for count, case in cases.items():
        for name, (mean, error) in statistics(grid, int(count), 2000).items():
            theirs = case["standard_errors"].get(name, case["std_count"] / case["draws"] ** 0.5)
            assert abs(mean - case[name]) <= 5 * (error**2 + theirs**2) ** 0.5, (count, name, mean, case[name])


@golden
def test_exact_masks_hide_as_many_patches_as_the_reference_s_upper_bound() -> None:
    for case in json.loads((GOLDEN / "masking.json").read_text())["upperbound"]:
        got = ssl_core.crop_masks(
            2 * case["images"],
            (case["grid"], case["grid"]),
            probability=case["mask_probability"],
            ratio=tuple(case["ratio"]),
            exact=True,
            generator=generator(),
        )
        assert int(got.any(dim=1).sum()) == case["masked_crops"]
        assert int(got.sum()) == case["upperbound"]
