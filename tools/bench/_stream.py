"""Shards to arrays against a plain webdataset loader with Pillow, on the same shards."""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from tools.bench._interleave import interleave


def stream() -> str:
    """cxr_io.ShardStream, decoding in one thread and in two, against webdataset + Pillow: 16-bit PNG of 518 pixels."""
    import cv2
    import numpy as np
    import webdataset
    from cxr_io import ShardStream, ingest
    from cxr_phantom import generate
    from numpy.typing import NDArray
    from PIL import Image

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as place:
        generate(f"{place}/phantoms", patients=40, size=600, workers=2)
        ingest(f"{place}/phantoms/dicom", f"{place}/shards", key="a key for this bench", workers=1)
        tars = sorted(str(path) for path in Path(place, "shards").glob("train-*.tar"))

        def ours(threads: int) -> Iterator[tuple[str, NDArray[np.uint16]]]:
            for sample in ShardStream(f"{place}/shards", split="train", threads=threads):
                yield sample.meta["patient"], sample.image

        def peer() -> Iterator[tuple[str, NDArray[np.uint16]]]:
            for sample in webdataset.WebDataset(tars, shardshuffle=False):
                yield json.loads(sample["json"])["patient"], np.array(Image.open(io.BytesIO(sample["png"])))

        count = 0
        for (a, mine), (b, theirs) in zip(ours(2), peer(), strict=True):
            if a != b or not np.array_equal(mine, theirs):
                raise RuntimeError("expected the same pixels in the same order of both")
            count += 1
        one, slow = interleave(lambda: deque(ours(1), 0), lambda: deque(peer(), 0))
        two, slow_again = interleave(lambda: deque(ours(2), 0), lambda: deque(peer(), 0))
    return (
        f"{slow / one:.1f} x webdataset + Pillow in one thread ({one / count * 1e3:.1f} ms a sample against "
        f"{slow / count * 1e3:.1f} ms), {slow_again / two:.1f} x with two ({two / count * 1e3:.1f} ms)"
    )


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
    return f"{spent:.2f} s to the first sample of 100,000 shards (no peer)"
