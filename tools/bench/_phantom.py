"""Drawing phantoms: a rate, since no other program draws them."""

from __future__ import annotations

import statistics
import tempfile
import time


def phantom() -> str:
    """Images a second on one core at 512 pixels, with every file of a phantom set; there is no peer."""
    import cv2
    from cxr_phantom import generate

    cv2.setNumThreads(1)
    rates = []
    for patients in (2, 20, 20, 20):
        with tempfile.TemporaryDirectory() as place:
            start = time.perf_counter()
            count = generate(place, patients=patients, size=512, workers=1)
            rates.append(count / (time.perf_counter() - start))
    return f"{statistics.median(rates[1:]):.1f} images/s/core, files included (no peer)"  # the first warms up
