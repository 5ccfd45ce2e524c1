"""`raddino embed` against the rad-dino package: shards to features on disk, the same random ViT-B/14 at 518 pixels."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WARM = 1  # images before the clock starts


def embed() -> str:
    """Images a second after the first few, weights loaded, in one thread; rounds in turn, features equal to 1e-4."""
    import numpy as np
    import rad_dino
    import raddino_encoders
    import torch
    from cxr_io import ShardStream, ingest
    from cxr_phantom import generate

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        generate(root / "phantoms", patients=4, size=600, workers=1)
        ingest(root / "phantoms/dicom", root / "shards", bits=8, key="a key for this bench", workers=1)
        write_model(root / "model", 518)
        rad_dino.RadDino._REPO = str(root / "model")
        peer = rad_dino.RadDino()
        images = [
            sample.image for split in _splits(root / "shards") for sample in ShardStream(root / "shards", split=split)
        ]
        rates: dict[str, list[float]] = {"ours": [], "peer": []}
        for number in range(3):
            rates["ours"].append(_ours(root, root / f"features{number}", len(images)))
            cls, rate = _peer(peer, root / "shards", len(images))
            rates["peer"].append(rate)
        apart = np.abs(np.load(root / "features0/cls.npy") - cls).max()
        encoder = raddino_encoders.load(root / "model")
        tokens = encoder.embed([(images[0] // 257).astype(np.uint8)], fit="crop")
        patches = peer.extract_patch_tokens(_picture(images[0])).numpy()
        apart = max(apart, np.abs(tokens.patches - patches).max())
        if apart > 1e-4:
            raise RuntimeError(f"expected the same features of both within 1e-4, got a difference of {apart:.2g}")
    ours, theirs = (statistics.median(rates[name]) for name in ("ours", "peer"))
    return (
        f"{ours / theirs:.2f} x rad-dino ({ours:.3f} against {theirs:.3f} images/s in one thread, features within "
        f"{apart:.0e})"
    )


def write_model(folder: Path, side: int, **shape: int) -> None:
    """A folder in the form of microsoft/rad-dino, of images of another side and another shape if asked for; random."""
    import torch
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(image_size=side, patch_size=14, layerscale_value=1.0, **shape)).save_pretrained(folder)
    processor = {
        "image_processor_type": "BitImageProcessor", "do_resize": True, "size": {"shortest_edge": side}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": side, "width": side}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5307] * 3, "image_std": [0.2583] * 3,
        "do_convert_rgb": True,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def _splits(shards: Path) -> list[str]:
    from cxr_io import info

    found = info(shards)["splits"]
    return [split for split in ("train", "val", "test") if split in found]


def _ours(root: Path, out: Path, total: int) -> float:
    from raddino_cli.work.embedding import embed

    marks: list[tuple[int, float]] = []
    embed(
        root / "shards", str(root / "model"), out, device="cpu", batch_size=1,
        progress=lambda done, _total: marks.append((done, time.perf_counter())),
    )  # fmt: skip
    (first, start), (last, end) = marks[0], marks[-1]
    if last != total:
        raise RuntimeError(f"expected {total} images, got {last}")
    return (last - first) / (end - start)


def _picture(image: NDArray[Any]) -> Any:
    import numpy as np
    from PIL import Image

    return Image.fromarray((image // 257).astype(np.uint8))


def _peer(model: Any, shards: Path, total: int) -> tuple[NDArray[Any], float]:
    """What a user of rad-dino writes: open each PNG of the shards, extract, keep."""
    import io

    import numpy as np
    import webdataset
    from PIL import Image

    found, start = [], 0.0
    for split in _splits(shards):
        tars = sorted(str(path) for path in shards.glob(f"{split}-*.tar"))
        for sample in webdataset.WebDataset(tars, shardshuffle=False):
            cls, _ = model.extract_features(Image.open(io.BytesIO(sample["png"])))
            found.append(cls.numpy())
            if len(found) == _WARM:
                start = time.perf_counter()
    return np.concatenate(found), (total - _WARM) / (time.perf_counter() - start)
