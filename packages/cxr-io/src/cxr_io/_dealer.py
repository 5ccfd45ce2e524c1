"""One order of samples dealt to ranks and workers, so that the place in it is a single number.

Every epoch is one sequence of positions that all ranks share. At each step the world takes the next `world_size`
positions, each rank one. So what has been taken is always a beginning of the sequence, whatever the number of ranks
and workers, and the rest can be dealt to any other number.
"""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

from cxr_io._errors import CxrError
from cxr_io._shards import Sample, decode

_LOG = logging.getLogger("cxr_io")
_AHEAD = 2  # samples a thread may be ahead of the loop
Remainder = Literal["wrap", "drop"]
Fetched = tuple[str, dict[str, bytes]] | CxrError


class Dealer(ABC):
    """What iterates, indexes and resumes; a subclass knows the order and the samples."""

    def __init__(
        self, total: int, epoch: int, rank: int, world_size: int, remainder: Remainder, strict: bool, threads: int
    ) -> None:
        if not 0 <= rank < world_size:
            raise CxrError("usage", f"expected a rank from 0 to {world_size - 1}, got {rank}")
        if remainder not in ("wrap", "drop"):
            raise CxrError("usage", f"expected a remainder of wrap or drop, got {remainder!r}")
        if total < 1 or threads < 1 or epoch < 0:
            raise CxrError("usage", f"expected samples, a thread and an epoch from 0, got {total}, {threads}, {epoch}")
        self._total, self._epoch, self._position = total, epoch, 0
        self._rank, self._world, self._remainder = rank, world_size, remainder
        self._strict, self._threads = strict, threads
        self.skipped = 0
        """Damaged samples that this process has met."""

    @property
    def samples(self) -> int:
        """Samples of an epoch, of all ranks together."""
        return self._total

    @property
    def shared(self) -> bool:
        """Whether other ranks get a part."""
        return self._world > 1

    @abstractmethod
    def _fetch(self, epoch: int, position: int) -> tuple[str, dict[str, bytes]]:
        """Key and files of the sample at a position; `CxrError` where it can't be read."""

    @abstractmethod
    def _order(self) -> dict[str, Any]:
        """What the order depends on, as JSON can hold it."""

    def __len__(self) -> int:
        """Samples that each rank has still to give in this epoch."""
        left = self._total - self._position
        return -(-left // self._world) if self._remainder == "wrap" else left // self._world

    def __getitem__(self, index: int) -> Sample:
        """The sample that this rank gives after `index` others; in the place of a damaged one, the next that reads."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        position = self._deal()(index % len(self))
        sample = self._kept(_decode(self._fetched(self._epoch, position)))
        return self._after(self._epoch, position) if sample is None else sample

    def __iter__(self) -> Iterator[Sample]:
        worker, workers = _torch_worker()
        epoch, began, deal = self._epoch, self._position, self._deal()
        numbers = range(worker, len(self), workers)
        for i, sample in zip(numbers, self._samples(epoch, map(deal, numbers)), strict=True):
            # Where every rank must give as many as the others, another stands in for a damaged one.
            found = self._after(epoch, deal(i)) if sample is None and self._world > 1 else sample
            self._position = min(began + (i + 1) * self._world, self._total)
            if found is not None:
                yield found
        self._epoch, self._position = epoch + 1, 0

    def set_epoch(self, epoch: int) -> None:
        """Start at the beginning of an epoch, as torch's DistributedSampler is told to."""
        self._epoch, self._position = epoch, 0

    def state_dict(self, given: int = 0) -> dict[str, Any]:
        """The place: epoch and samples that all ranks have taken, with what the order depends on.

        `given` is for a loop that reads through a DataLoader, whose workers have copies: the number of samples that
        this rank has received since the place was last set.
        """
        if not 0 <= given <= len(self):
            raise CxrError("usage", f"expected 0 to {len(self)} samples given in this epoch, got {given}")
        position = min(self._position + given * self._world, self._total)
        return {"epoch": self._epoch, "position": position, **self._order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a place, with any number of ranks and workers; refuses one in another order."""
        different = [name for name, value in self._order().items() if state.get(name) != value]
        if different:
            told = ", ".join(f"{name} {state.get(name)} and not {self._order()[name]}" for name in different)
            raise CxrError("usage", f"expected the state of a stream in this order; it is of one with {told}")
        self._epoch, self._position = state["epoch"], state["position"]

    def _deal(self) -> Callable[[int], int]:
        """From the number of a sample of this rank to its position; the epoch's first fill up the last step."""
        first, step, total = self._position + self._rank, self._world, self._total
        return lambda number: (first + number * step) % total

    def _samples(self, epoch: int, positions: Iterable[int]) -> Iterator[Sample | None]:
        """Samples in order, None for one that is damaged; read in this thread, decoded ahead in others."""
        fetched = (self._fetched(epoch, position) for position in positions)
        decoded = map(_decode, fetched) if self._threads == 1 else _decode_ahead(fetched, self._threads)
        return map(self._kept, decoded)

    def _after(self, epoch: int, position: int) -> Sample:
        """The first sample after a position that can be read."""
        rest = (p % self._total for p in range(position + 1, position + self._total))
        for fetched in (self._fetched(epoch, p) for p in rest):
            if (sample := self._kept(_decode(fetched))) is not None:
                return sample
        raise CxrError("damaged", f"expected a sample that can be read, got none of {self._total}; verify the shards")

    def _fetched(self, epoch: int, position: int) -> Fetched:
        try:
            return self._fetch(epoch, position)
        except CxrError as error:
            return error

    def _kept(self, decoded: Sample | CxrError) -> Sample | None:
        """The sample; None of a damaged one, which is counted, or its error if that stops the run."""
        if isinstance(decoded, Sample):
            return decoded
        if self._strict or decoded.code != "damaged":
            raise decoded
        self.skipped += 1
        _LOG.warning("left out: %s", decoded)
        return None


def _decode_ahead(fetched: Iterable[Fetched], threads: int) -> Iterator[Sample | CxrError]:
    waiting: deque[Future[Sample | CxrError]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for found in fetched:
            waiting.append(pool.submit(_decode, found))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(fetched: Fetched) -> Sample | CxrError:
    if isinstance(fetched, CxrError):
        return fetched
    try:
        return decode(*fetched)
    except CxrError as error:
        return error


def _torch_worker() -> tuple[int, int]:
    """Number and count of a torch DataLoader's workers, if this is one of them; torch is never imported for it."""
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data else None
    return (info.id, info.num_workers) if info else (0, 1)
