"""The mathematics equals the reference implementation's, by numbers it produced."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import sslcore_golden

GOLDEN = next(
    (p / "shared" / "golden" for p in Path(__file__).resolve().parents if (p / "shared" / "golden").is_dir()),
    Path("absent"),
)
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="shared/golden, the reference's numbers, is not here")


def assert_agreement(found: Iterable[sslcore_golden.Comparison], at_least: int) -> None:
    comparisons = list(found)
    assert len(comparisons) >= at_least
    assert [c for c in comparisons if not c.agrees] == []


def test_losses_gradients_and_centres_of_a_step_equal_the_reference() -> None:
    assert_agreement(sslcore_golden.steps(GOLDEN), 400)


def test_five_training_steps_follow_the_reference_trajectory(tmp_path: Path) -> None:
    assert_agreement(sslcore_golden.training(GOLDEN, tmp_path), 180)


@pytest.mark.parametrize(
    ("part", "at_least"),
    [
        (sslcore_golden.sinkhorn, 10),
        (sslcore_golden.centring, 28),
        (sslcore_golden.koleo, 24),
        (sslcore_golden.positions, 60),
        (sslcore_golden.schedules, 100),
        (sslcore_golden.groups, 180),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_parts_equal_the_reference(part: Callable[[Path], Iterator[sslcore_golden.Comparison]], at_least: int) -> None:
    assert_agreement(part(GOLDEN), at_least)


def test_block_masks_have_the_statistics_of_the_reference() -> None:
    assert_agreement(sslcore_golden.masking(GOLDEN, draws=100), 60)
