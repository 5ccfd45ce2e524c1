"""Facts about mixtures: proportions, passes, ranks and resume."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from cxr_io import CxrError, Mixture, ShardStream
from cxr_io._mixture import _BLOCK, _counts, _tempered
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def places(write_shards: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("sources")
    return [write_shards(root / "large", 300, prefix="l"), write_shards(root / "small", 20, prefix="s")]


def mixture(places: Sequence[Path], **options: object) -> Mixture:
    streams = [ShardStream(place, split="train", shuffle=True, seed=7) for place in places]
    return Mixture(streams, **{"samples": 200, "threads": 1, **options})  # type: ignore[arg-type]


def keys(stream: Mixture) -> list[str]:
    return [sample.key for sample in stream]


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=9))
def test_a_block_has_every_source_in_its_proportion(weights: list[float]) -> None:
    counts = _counts(weights, len(weights))
    assert counts.sum() == _BLOCK
    assert counts.min() >= 1
    assert np.abs(counts - np.array(weights) / sum(weights) * _BLOCK).max() <= len(weights) + 1


def test_temperature_goes_from_proportional_to_even() -> None:
    sizes = [160_000, 40_000]
    assert np.allclose(_tempered(sizes, 1), [1, 0.25])
    assert np.allclose(_tempered(sizes, 2), [1, 0.5])
    assert np.allclose(_tempered(sizes, 1e9), [1, 1])


def test_the_small_source_is_not_drowned(places: list[Path]) -> None:
    drawn = Counter(key[0] for key in keys(mixture(places, weights=[1, 1], samples=2000)))
    assert abs(drawn["s"] - 1000) < 100
    proportional = Counter(key[0] for key in keys(mixture(places, samples=2000)))
    assert abs(proportional["s"] - 2000 * 20 / 320) < 40


def test_a_source_is_gone_through_in_whole_passes_across_epochs(places: list[Path]) -> None:
    mixed = mixture(places, weights=[3, 1])
    small = [key for _ in range(4) for key in keys(mixed) if key[0] == "s"]
    assert len(small) > 100
    for start in range(0, len(small) - 20, 20):
        assert len(set(small[start : start + 20])) == 20
    assert small[:20] != small[20:40]  # each pass in an order of its own


def test_a_mixture_resumes_exactly_on_other_ranks(places: list[Path]) -> None:
    whole = keys(mixture(places, weights=[1, 1]))
    begun = [mixture(places, weights=[1, 1], rank=rank, world_size=2) for rank in range(2)]
    head = [[sample.key for _, sample in zip(range(31), one, strict=False)] for one in begun]
    assert [key for step in zip(*head, strict=True) for key in step] == whole[:62]
    state = json.loads(json.dumps(begun[0].state_dict()))
    rest = [mixture(places, weights=[1, 1], rank=rank, world_size=3) for rank in range(3)]
    for one in rest:
        one.load_state_dict(state)
    tail = [keys(one) for one in rest]
    assert [key for step in zip(*tail, strict=True) for key in step] == whole[62:]
    with pytest.raises(CxrError, match="draws"):
        mixture(places, weights=[1, 2]).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [1]}, "2 weights"),
        ({"weights": []}, "2 weights"),
        ({"weights": [1, 0]}, "above 0"),
        ({"weights": [1, float("inf")]}, "above 0"),
        ({"temperature": 0}, "temperature above 0"),
    ],
)
def test_proportions_that_can_not_be_are_refused(places: list[Path], options: dict[str, object], message: str) -> None:
    with pytest.raises(CxrError, match=message):
        mixture(places, **options)


def test_the_streams_of_a_mixture_have_no_ranks_of_their_own(places: list[Path]) -> None:
    with pytest.raises(CxrError, match="one rank"):
        Mixture([ShardStream(places[0], split="train", rank=0, world_size=2)])
    with pytest.raises(CxrError, match="streams"):
        Mixture([])
