"""B-spline resampling against SimpleITK, the library of the paper's preprocessing."""

from __future__ import annotations

from tools.bench._interleave import interleave


def resize() -> str:
    """cxr_io.resize_bspline against SimpleITK's B-spline, one thread each, 3056 x 2544 to a short side of 518."""
    import numpy as np  # here and not above: only after __main__ has set the number of threads
    import SimpleITK as sitk  # noqa: N813 -- its own documentation's name
    from cxr_io import resize_bspline

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = np.random.default_rng(0).random((3056, 2544)).astype(np.float32)
    rows, columns = resize_bspline(image, 518).shape
    sy, sx = image.shape[0] / rows, image.shape[1] / columns
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkBSpline)
    resample.SetSize((columns, rows))
    resample.SetOutputSpacing((sx, sy))
    resample.SetOutputOrigin(((sx - 1) / 2, (sy - 1) / 2))  # pixel areas aligned, as in cxr_io
    source = sitk.GetImageFromArray(image)

    # Two programs that compute different things have no ratio.
    apart = float(np.abs(resize_bspline(image, 518) - sitk.GetArrayFromImage(resample.Execute(source))).max())
    if apart > 1e-3:
        raise RuntimeError(f"expected the same image of both within 1e-3, got a difference of {apart:.2g}")
    ours, peer = interleave(lambda: resize_bspline(image, 518), lambda: resample.Execute(source))
    return f"{peer / ours:.1f} x SimpleITK ({ours * 1e3:.0f} ms against {peer * 1e3:.0f} ms, within {apart:.0e})"
