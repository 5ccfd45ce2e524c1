"""Facts about the stream: one order for any number of ranks, exact resume, URLs."""

import json
import pickle
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cxr_io import CxrError, ShardStream
from cxr_io._order import Order
from hypothesis import given, settings
from hypothesis import strategies as st

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def place(write_shards: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards") / "a", 5, 3, 7, 1, 4, 6, 2, 5)


def keys(stream: object) -> list[str]:
    return [sample.key for sample in stream]  # type: ignore[attr-defined]


COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@settings(deadline=None)
@given(COUNTS, st.booleans(), st.integers(0, 3), st.integers(0, 3), st.integers(1, 13))
def test_an_epoch_is_a_permutation_with_few_shards_open(
    counts: list[int], shuffle: bool, seed: int, epoch: int, window: int
) -> None:
    order = Order(np.array(counts), shuffle=shuffle, seed=seed, window=window)
    places = [order.place(epoch, position) for position in range(len(order))]
    assert sorted(places) == [(i, j) for i, count in enumerate(counts) for j in range(count)]
    again = Order(np.array(counts), shuffle=shuffle, seed=seed, window=window)
    assert [again.place(epoch, position) for position in reversed(range(len(order)))] == places[::-1]
    visits = [shard for shard, _ in places]
    spans = [(visits.index(shard), len(visits) - visits[::-1].index(shard)) for shard in set(visits)]
    assert max(sum(first <= at < last for first, last in spans) for at in range(len(visits))) <= (
        window if shuffle else 1
    )


def test_seed_and_epoch_change_the_order(place: Path) -> None:
    def drawn(**options: int) -> list[str]:
        return keys(ShardStream(place, split="train", shuffle=True, window=3, **options))

    assert drawn(seed=1) == drawn(seed=1)
    assert len({tuple(drawn(seed=1)), tuple(drawn(seed=2)), tuple(drawn(seed=1, epoch=1))}) == 3


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 40), st.sampled_from(["wrap", "drop"]), st.booleans())
def test_what_is_left_can_be_dealt_to_any_number_of_ranks(
    place: Path, ranks: int, then: int, steps: int, remainder: str, shuffle: bool
) -> None:
    def stream(rank: int, world: int) -> ShardStream:
        options = {"shuffle": shuffle, "rank": rank, "world_size": world, "remainder": remainder}
        return ShardStream(place, split="train", window=2, threads=1, **options)  # type: ignore[arg-type]

    whole = keys(stream(0, 1))
    begun = [stream(rank, ranks) for rank in range(ranks)]
    lengths = {len(one) for one in begun}
    assert len(lengths) == 1
    steps = min(steps, lengths.pop())
    taken = [[sample.key for _, sample in zip(range(steps), one, strict=False)] for one in begun]
    # Step after step, the ranks together take the next samples of the order of one.
    together = [key for step in zip(*taken, strict=True) for key in step]
    assert together[: len(whole)] == whole[: len(together)]
    states = [json.loads(json.dumps(one.state_dict())) for one in begun]
    assert all(state == states[0] for state in states)
    rest = [stream(rank, then) for rank in range(then)]
    for one in rest:
        one.load_state_dict(states[0])
    left = [keys(one) for one in rest]
    assert len({len(part) for part in left}) == 1
    seen = Counter(together[: len(whole)]) + Counter(key for part in left for key in part)
    if remainder == "wrap":
        assert set(seen) == set(whole)
        assert seen.total() - len(whole) < max(then, 1)
    else:
        assert max(seen.values()) == 1 if seen else True
        assert len(whole) - seen.total() < then + ranks
    assert all(one.state_dict()["epoch"] == 1 for one in rest)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 33), st.integers(1, 3))
def test_resume_equals_never_stopping(place: Path, cut: int, threads: int) -> None:
    def stream() -> ShardStream:
        return ShardStream(place, split="train", shuffle=True, seed=5, window=3, threads=threads)

    whole = keys(stream()) + keys(ShardStream(place, split="train", shuffle=True, seed=5, window=3, epoch=1))
    first = stream()
    head = [sample.key for _, sample in zip(range(cut), first, strict=False)]
    assert len(first) == 33 - cut
    second = stream()
    second.load_state_dict(first.state_dict())
    assert head + keys(second) + keys(second) == whole
    assert head + keys(first) + keys(first) == whole  # the same object goes on too


def test_a_sequence_gives_what_the_iteration_does(place: Path) -> None:
    stream = ShardStream(place, split="train", shuffle=True, rank=1, world_size=2)
    copy = pickle.loads(pickle.dumps(stream))
    by_number = [copy[i].key for i in range(len(copy))]
    assert copy[-1].key == by_number[-1]
    with pytest.raises(IndexError):
        copy[len(copy)]
    # Whoever reads by number says how many were received.
    later = ShardStream(place, split="train", shuffle=True, rank=1, world_size=2)
    later.load_state_dict(stream.state_dict(given=6))
    assert keys(later) == by_number[6:]
    assert keys(stream) == by_number
    stream.set_epoch(0)
    assert keys(stream) == by_number
    with pytest.raises(CxrError, match="expected 0 to 17 samples given"):
        ShardStream(place, split="train", rank=1, world_size=2).state_dict(given=18)


def test_one_shard_serves_many_ranks(write_shards: Write, tmp_path: Path) -> None:
    write_shards(tmp_path, 10)
    parts = [keys(ShardStream(tmp_path, split="train", rank=rank, world_size=5)) for rank in range(5)]
    assert sorted(key for part in parts for key in part) == sorted(f"s0-{j}" for j in range(10))


def test_the_state_of_another_order_is_refused(write_shards: Write, place: Path, tmp_path: Path) -> None:
    state = ShardStream(place, split="train", seed=1).state_dict()
    with pytest.raises(CxrError, match="seed 1 and not 2"):
        ShardStream(place, split="train", seed=2).load_state_dict(state)
    with pytest.raises(CxrError, match="shards"):
        ShardStream(write_shards(tmp_path, 4), split="train", seed=1).load_state_dict(state)
    with pytest.raises(CxrError, match="window"):
        ShardStream(place, split="train", seed=1).load_state_dict({"epoch": 0, "position": 3})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "a split of train"),
        ({"rank": 2, "world_size": 2}, "a rank from 0 to 1"),
        ({"remainder": "pad"}, "wrap or drop"),
        ({"window": 0}, "a window"),
        ({"seed": -1}, "a seed"),
        ({"threads": 0}, "a thread"),
    ],
)
def test_options_that_can_not_be_are_refused(place: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(CxrError, match=message):
        ShardStream(place, **{"split": "train", **options})  # type: ignore[arg-type]


def test_any_url_of_fsspec_is_read(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(place), "/bucket/shards", recursive=True)
    options = {"split": "train", "shuffle": True, "seed": 3}
    local, remote = keys(ShardStream(place, **options)), ShardStream("memory://bucket/shards/", **options)  # type: ignore[arg-type]
    assert keys(remote) == local
    assert keys(ShardStream(place.as_uri(), **options)) == local  # type: ignore[arg-type]
    with pytest.raises(CxrError, match="found none in memory://bucket/none"):
        ShardStream("memory://bucket/none", split="train")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(CxrError, match=r"pip install 'cxr-io\[remote\]'"):
        ShardStream("memory://bucket/shards", split="train")


def test_the_example_of_the_readme_runs(
    write_shards: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text().split("## Stream it")[1]
    monkeypatch.chdir(tmp_path)
    write_shards(Path("shards"), 5, 7)
    exec(compile(text.split("```python\n")[1].split("```")[0], "README.md", "exec"), {})
    assert "2 left for each of three ranks" in capsys.readouterr().out


def test_a_hundred_thousand_shards_cost_numbers_alone() -> None:
    counts = np.full(100_000, 256)
    tracemalloc.start()
    order = Order(counts, shuffle=True, seed=0, window=16)
    seen = {order.place(0, position) for position in range(0, len(order), 999_983)}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(seen) == 26
    assert peak < 8e6
