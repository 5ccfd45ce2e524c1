"""Pictures of what each augmentation preset does to synthetic radiographs, for docs/augmentations.md.

python -m tools.augmentations [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_GLOBAL, _LOCAL, _GAP = 168, 84, 4  # two local views fill a global one's side, less the gap
_PHANTOMS, _SEEDS = (3, 8), (0, 2, 6)


def main(folder: Path) -> None:
    """Write one PNG for each preset."""
    import cv2
    import numpy as np
    import ssl_core

    folder.mkdir(parents=True, exist_ok=True)
    for preset in ssl_core.presets():
        sheet = np.concatenate([_row(preset, phantom) for phantom in _PHANTOMS])
        # 64 levels of grey: the grain of a detector is most of a PNG's bytes.
        cv2.imwrite(str(folder / f"{preset}.png"), (sheet * 63).round().astype(np.uint8) * 4)


def _row(preset: str, phantom: int) -> torch.Tensor:
    """An image, then for each seed a first and second global view and a square of four local ones."""
    import ssl_core
    import torch
    from cxr_phantom import render, sample_patient

    settings = [f"crops.preset={preset}", "model.patch_size=4", "crops.encode_size=0", "crops.local_count=4"]
    sizes = [f"crops.global_size={_GLOBAL}", f"crops.local_size={_LOCAL - _GAP}"]
    config = ssl_core.load_config("cpu-tiny", [*settings, *sizes, "crops.mean=0.0", "crops.std=1.0"]).crops
    pixels = render(sample_patient(0, phantom), 2 * _GLOBAL).pixels
    image = ssl_core.to_unit(torch.from_numpy(pixels / pixels.max())[None])
    cells = [torch.nn.functional.avg_pool2d(image, 2)[0]]
    for seed in _SEEDS:
        crops, local = ssl_core.make_crops([image], config, torch.Generator().manual_seed(seed))
        square = torch.ones(_GLOBAL, _GLOBAL)
        for place, view in enumerate(local[:, 0]):
            top, left = (k * (_LOCAL + _GAP // 2) for k in divmod(place, 2))
            square[top : top + view.shape[0], left : left + view.shape[1]] = view
        cells += [*crops[:, 0], square]
    return torch.cat([torch.nn.functional.pad(cell, (0, _GAP, 0, _GAP), value=1.0) for cell in cells], dim=1)


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "docs/augmentations"))
