"""`hog:<n>`: histograms of oriented gradients (Dalal and Triggs 2005), a baseline that has seen no data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from raddino_encoders._backbone import Backbone, Loaded, Pair
from raddino_encoders._errors import EncoderError
from raddino_encoders._preprocess import Preprocessing

_SIZE, _ORIENTATIONS = 224, 9


class _Hog(Backbone):
    def __init__(self, cell: int) -> None:
        super().__init__()
        self._cell = cell

    def last(self, x: Tensor) -> Pair:
        from skimage.feature import hog

        def histograms(image: Tensor, cells: int, *, flat: bool) -> Tensor:
            found = hog(
                image.float().cpu().numpy(), _ORIENTATIONS, (self._cell, self._cell), (cells, cells),
                feature_vector=flat,
            )  # fmt: skip
            return torch.from_numpy(np.asarray(found, np.float32))

        cls = torch.stack([histograms(image, 2, flat=True) for image in x[:, 0]])
        cells = torch.stack([histograms(image, 1, flat=False)[:, :, 0, 0] for image in x[:, 0]])
        return cls.to(x.device), cells.permute(0, 3, 1, 2).to(x.device)


def load_hog(spec: str, argument: str) -> Loaded:
    """An encoder of gradients at 224 x 224 pixels in cells of n x n.

    Class token: histograms of 9 orientations, normalised in blocks of 2 x 2 cells. Patch tokens (B, 9, 224/n, 224/n):
    each cell's own.

    Args:
        spec: the whole spec, for messages.
        argument: "<n>", a divisor of 224 from 2 to 112.

    Raises:
        EncoderError: another form, or scikit-image is not installed.
    """
    try:
        import skimage  # noqa: F401
    except ImportError as error:
        raise EncoderError(f"{spec!r}: needs scikit-image; pip install 'raddino-encoders[hog]'") from error
    cell = int(argument) if argument.isdecimal() else 0
    if not 2 <= cell <= _SIZE // 2 or _SIZE % cell:
        raise EncoderError(
            f"{spec!r}: expected hog:<n>, n a divisor of {_SIZE} from 2 to {_SIZE // 2}, got {argument!r}"
        )
    side = _SIZE // cell
    return Loaded(
        _Hog(cell), Preprocessing(_SIZE, (0.0,), (1.0,)), 4 * _ORIENTATIONS * (side - 1) ** 2, cell, exact=True
    )
