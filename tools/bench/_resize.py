"""B-spline resampling against SimpleITK, the library of the paper's preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tools.bench._interleave import interleave

if TYPE_CHECKING:
    from numpy.typing import NDArray


def resize() -> str:
    """cxr_io.resize_bspline against SimpleITK's B-spline, one thread each, 3056 x 2544 to a short side of 518."""
    import numpy as np  # here and not above: only after __main__ has set the number of threads
    from cxr_io import resize_bspline

    image = np.random.default_rng(0).integers(8000, 57000, (3056, 2544), dtype=np.uint16)
    grid = resize_bspline(image, 518).shape
    peer = simpleitk(image, *grid)

    # Two programs that compute different things have no ratio.
    theirs = simpleitk(image.astype(np.float32), *grid)()
    apart = float(np.abs(resize_bspline(image.astype(np.float32), 518) - theirs).max()) / 65535
    if apart > 1e-3:
        raise RuntimeError(f"expected the same image of both within 1e-3, got a difference of {apart:.2g}")
    ours, spent = interleave(lambda: resize_bspline(image, 518), peer)
    return f"{spent / ours:.1f} x SimpleITK ({ours * 1e3:.0f} ms against {spent * 1e3:.0f} ms, within {apart:.0e})"


def simpleitk(image: NDArray[Any], rows: int, columns: int) -> Callable[[], NDArray[Any]]:
    """SimpleITK's order-3 B-spline of an image on a grid of the same area, pixel areas aligned as in cxr_io."""
    import SimpleITK as sitk  # noqa: N813 -- its own documentation's name

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    sy, sx = image.shape[0] / rows, image.shape[1] / columns
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkBSpline)
    resample.SetSize((columns, rows))
    resample.SetOutputSpacing((sx, sy))
    resample.SetOutputOrigin(((sx - 1) / 2, (sy - 1) / 2))
    source = sitk.GetImageFromArray(image)
    return lambda: sitk.GetArrayFromImage(resample.Execute(source))
