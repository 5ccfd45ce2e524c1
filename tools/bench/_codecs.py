"""Sample codecs: lossless JPEG XL against PNG, on a real radiograph as it lies in a shard."""

from __future__ import annotations

from functools import partial

from tools.bench._interleave import interleave


def codecs() -> str:
    """Milliseconds to write and to read, and kilobytes, of pydicom-data's RG1 at a short side of 518, one thread."""
    import cv2
    import numpy as np
    from cxr_io import CODECS, read, resize_bspline
    from pydicom.data import get_testdata_file

    cv2.setNumThreads(1)
    path = get_testdata_file("RG1_UNCR.dcm", download=False)
    if path is None:
        raise RuntimeError("expected pydicom-data with RG1_UNCR.dcm; pip install pydicom-data")
    sixteen = resize_bspline(read(path).pixels, 518).astype(np.uint16)
    told = []
    for bits, image in ((16, sixteen), (8, np.round(sixteen / 257).astype(np.uint8))):
        (png, unpng), (jxl, unjxl) = CODECS["png"], CODECS["jxl"]
        data = {"png": png(image), "jxl": jxl(image)}
        if not (np.array_equal(unpng(data["png"]), image) and np.array_equal(unjxl(data["jxl"]), image)):
            raise RuntimeError("expected the pixels that were written")
        write = interleave(partial(jxl, image), partial(png, image))
        back = interleave(partial(unjxl, data["jxl"]), partial(unpng, data["png"]))
        told.append(
            f"{bits} bits {image.shape[1]}x{image.shape[0]}: JPEG XL writes {write[1] / write[0]:.1f} x as fast as PNG "
            f"({write[0] * 1e3:.2f} against {write[1] * 1e3:.2f} ms), reads {back[1] / back[0]:.1f} x "
            f"({back[0] * 1e3:.2f} against {back[1] * 1e3:.2f} ms), "
            f"{len(data['jxl']) / 1e3:.0f} against {len(data['png']) / 1e3:.0f} KB"
        )
    return "; ".join(told)
