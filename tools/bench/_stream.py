"""Shards to arrays against a plain webdataset loader with Pillow, on the same shards."""

from __future__ import annotations

import io
import json
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.bench._interleave import interleave

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Read = Iterator[tuple[str, "NDArray[Any]"]]


def stream() -> str:
    """cxr_io.ShardStream against webdataset + Pillow, samples of 518 pixels: each codec, one thread and two.

    The peer reads PNG: the very shards where they hold PNG, and shards whose PNG are compressed by Pillow.
    """
    import cv2
    import numpy as np
    from cxr_io import ingest
    from cxr_phantom import generate

    cv2.setNumThreads(1)
    told = []
    with tempfile.TemporaryDirectory() as place:
        generate(f"{place}/phantoms", patients=60, size=600, workers=2)
        for bits in (16, 8):
            for codec in ("png", "jxl"):
                shards = f"{place}/{codec}{bits}"
                options = {"bits": bits, "codec": codec, "key": "a key for this bench"}
                ingest(f"{place}/phantoms/dicom", shards, workers=1, **options)  # type: ignore[arg-type]
            plain, pillow = f"{place}/png{bits}", f"{place}/pillow{bits}"
            _compress(plain, pillow, bits)
            for ours, peers in ((plain, {"the same bytes": plain, "Pillow's PNG": pillow}), (shards, {"PNG": pillow})):
                for name, peer in peers.items():
                    count = 0
                    for (a, mine), (b, theirs) in zip(_ours(ours, 2), _peer(peer), strict=True):
                        if a != b or not np.array_equal(mine, theirs if bits == 16 else theirs * np.uint16(257)):
                            raise RuntimeError("expected the same pixels in the same order of both")
                        count += 1
                    kind = f"{bits} bits, {Path(ours).name[:3]} against {name}"
                    told.append(f"{kind}: {_ratios(ours, peer, count)} ({_megabytes(ours)}, {_megabytes(peer)})")
    return "; ".join(told)


def _drain(read: Callable[..., _Read], *arguments: object) -> None:
    deque(read(*arguments), 0)


def _ours(shards: str, threads: int) -> _Read:
    from cxr_io import ShardStream

    for sample in ShardStream(shards, split="train", threads=threads):
        yield sample.meta["patient"], sample.image


def _peer(shards: str) -> _Read:
    import numpy as np
    import webdataset
    from PIL import Image

    tars = sorted(str(path) for path in Path(shards).glob("train-*.tar"))
    for sample in webdataset.WebDataset(tars, shardshuffle=False):
        yield json.loads(sample["json"])["patient"], np.array(Image.open(io.BytesIO(sample["png"])))


def _compress(shards: str, out: str, bits: int) -> None:
    """The same samples as Pillow writes PNG."""
    from cxr_io import ShardStream
    from cxr_io._shards import Encoded, ShardWriter
    from PIL import Image

    Path(out).mkdir()
    writer = ShardWriter(Path(out, "train-000000.tar"))
    for sample in ShardStream(shards, split="train"):
        data = io.BytesIO()
        Image.fromarray(sample.image if bits == 16 else (sample.image >> 8).astype("uint8")).save(data, "png")
        writer.add(Encoded(sample.key, (("png", data.getvalue()), ("json", json.dumps(sample.meta).encode()))))
    writer.close()


def _ratios(ours: str, peer: str, count: int) -> str:
    told = []
    for threads in (1, 2):
        mine, theirs = interleave(partial(_drain, _ours, ours, threads), partial(_drain, _peer, peer))
        told.append(f"{theirs / mine:.1f} x with {threads} ({mine / count * 1e3:.2f} ms a sample)")
    return f"{', '.join(told)}, the peer {theirs / count * 1e3:.2f} ms"


def _megabytes(shards: str) -> str:
    return f"{sum(path.stat().st_size for path in Path(shards).glob('train-*.tar')) / 1e6:.1f} MB"


def stream_start() -> str:
    """From an index of 100,000 shards to the first sample of a shuffled epoch; there is no peer."""
    import numpy as np
    from cxr_io import ShardStream
    from cxr_io._shards import FORMAT, INDEX, Sample, ShardWriter, encode

    with tempfile.TemporaryDirectory() as place:
        writer = ShardWriter(Path(place, "one.tar"))
        writer.add(encode(Sample("a", np.eye(16, dtype=np.uint16), {}), 16))
        entry = {**writer.close(), "split": "train"}
        index = {"format": FORMAT, "shards": [{**entry, "sha256": f"{i:064x}"} for i in range(100_000)]}
        Path(place, INDEX).write_text(json.dumps(index))
        start = time.perf_counter()
        next(iter(ShardStream(place, split="train", shuffle=True)))
        spent = time.perf_counter() - start
        tracemalloc.start()
        opened = ShardStream(place, split="train", shuffle=True)
        next(iter(opened))
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return (
        f"{spent:.2f} s to the first sample of 100,000 shards, of which {kept / 1e6:.0f} MB are kept, "
        f"{peak / 1e6:.0f} MB while the index is read (no peer)"
    )
