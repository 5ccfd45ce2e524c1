"""Facts about cxr_io's stream in torch's DataLoader, which cxr-io's own tests have no torch for."""

from collections import Counter
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from torch.utils.data import DataLoader, IterableDataset

# Three workers are a test of sharing out, whatever the number of cores.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stream")
    (root / "source").mkdir()
    lines = ["path,split"]
    for i in range(23):
        pixels = np.random.default_rng(i).integers(0, 65535, (24, 20), dtype=np.uint16)
        cv2.imwrite(str(root / "source" / f"{i}.png"), pixels)
        lines.append(f"{i}.png,train")
    (root / "source" / "labels.csv").write_text("\n".join(lines) + "\n")
    cxr_io.ingest(
        root / "source",
        root / "shards",
        short_side=16,
        workers=1,
        samples_per_shard=5,
        key="sixteen characters or more",
    )
    return root / "shards"


def stream(shards: Path, **options: int) -> cxr_io.ShardStream:
    return cxr_io.ShardStream(shards, split="train", shuffle=True, seed=1, window=2, threads=1, **options)


def keys(batch: list[cxr_io.Sample]) -> list[str]:
    return [sample.key for sample in batch]


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_the_batches_are_the_same_for_any_number_of_workers(shards: Path, workers: int) -> None:
    loader = DataLoader(stream(shards), batch_size=4, collate_fn=keys, num_workers=workers)
    whole = [sample.key for sample in stream(shards)]
    assert list(loader) == [whole[i : i + 4] for i in range(0, 23, 4)]


def test_a_loop_that_stopped_goes_on_with_other_workers_and_ranks(shards: Path) -> None:
    whole = [sample.key for sample in stream(shards)]
    begun = [stream(shards, rank=rank, world_size=2) for rank in range(2)]
    loaders = [iter(DataLoader(one, batch_size=2, collate_fn=keys, num_workers=2)) for one in begun]
    taken = [[next(loader) for _ in range(3)] for loader in loaders]
    del loaders
    states = [one.state_dict(given=6) for one in begun]
    assert states[0] == states[1]
    assert sorted(key for rank in taken for batch in rank for key in batch) == sorted(whole[:12])
    rest = stream(shards)
    rest.load_state_dict(states[0])
    assert [key for batch in DataLoader(rest, batch_size=3, collate_fn=keys, num_workers=1) for key in batch] == whole[
        12:
    ]


class Wrapped(IterableDataset):
    """What somebody writes who knows webdataset."""

    def __init__(self, samples: cxr_io.ShardStream) -> None:
        self.samples = samples

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from self.samples


def test_workers_that_iterate_share_the_samples_out(shards: Path) -> None:
    for workers in (0, 3):
        loader = DataLoader(Wrapped(stream(shards)), batch_size=2, collate_fn=keys, num_workers=workers)
        assert Counter(key for batch in loader for key in batch) == Counter(sample.key for sample in stream(shards))
