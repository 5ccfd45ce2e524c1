"""python -m tools.bench [NAME ...]: each figure is a median of interleaved runs; ratios above 1 favour us."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np


def interleaved(ours: Callable[[], object], peer: Callable[[], object], repeats: int = 7) -> tuple[float, float]:
    """Median seconds of both, run in turn after one warm-up each."""
    times: tuple[list[float], list[float]] = ([], [])
    ours(), peer()
    for _ in range(repeats):
        for work, spent in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def resize() -> str:
    """cxr_io.resize_bspline against SimpleITK's B-spline, one thread, 3056 x 2544 to a short side of 518."""
    import SimpleITK as sitk  # noqa: N813
    from cxr_io import resize_bspline

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = np.random.default_rng(0).random((3056, 2544)).astype(np.float32)
    rows, columns = resize_bspline(image, 518).shape
    sy, sx = image.shape[0] / rows, image.shape[1] / columns
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkBSpline)
    resample.SetSize((columns, rows))
    resample.SetOutputSpacing((sx, sy))
    resample.SetOutputOrigin(((sx - 1) / 2, (sy - 1) / 2))
    source = sitk.GetImageFromArray(image)
    ours, peer = interleaved(lambda: resize_bspline(image, 518), lambda: resample.Execute(source))
    return f"{peer / ours:.1f} x SimpleITK ({ours * 1e3:.0f} ms against {peer * 1e3:.0f} ms)"


def phantom() -> str:
    """Phantoms a second on one core at 512 pixels, files included; there is no peer."""
    import tempfile

    import cv2
    from cxr_phantom import generate

    cv2.setNumThreads(1)
    rates = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as place:
            start = time.perf_counter()
            count = generate(place, patients=40, size=512, workers=1)
            rates.append(count / (time.perf_counter() - start))
    return f"{statistics.median(rates):.1f} images/s/core"


BENCHES: dict[str, Callable[[], str]] = {"resize": resize, "phantom": phantom}


def main() -> None:
    """Run the benches named, or all."""
    for name in sys.argv[1:] or BENCHES:
        if name not in BENCHES:
            sys.exit(f"error: expected a bench of {', '.join(BENCHES)}; got {name!r}")
        print(f"{name:<10} {BENCHES[name]()}", flush=True)


if __name__ == "__main__":
    main()
