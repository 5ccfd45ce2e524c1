"""The pictures of the report page, as data URIs."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import torch
from cxr_io import Sample
from matplotlib.figure import Figure
from numpy.typing import NDArray

from raddino_cli.plots import STYLE, drawn
from raddino_cli.work.features import Features, read_split
from raddino_cli.work.images import ImagesInMemory, square
from raddino_cli.work.masks import MASK_SIZE
from raddino_cli.work.segmenting import tokens_of

Picture = NDArray[np.uint8]
_SHOWN = 6
_SIDE = 256
_RED, _BLUE, _GOLD = (235, 87, 87), (86, 156, 214), (242, 201, 76)


def draw(out: Path, features: dict[str, Features], results: dict[str, Any]) -> dict[str, str]:
    """All pictures by name: samples, crops, curves, pca, segmentation (those that the data allow)."""
    samples = read_split(out / "shards", "test") or read_split(out / "shards", "train")
    samples = _choose(samples)
    found = {"samples": png_uri(samples_picture(samples)), "curves": curves_uri(out / "run" / "metrics.jsonl")}
    found["crops"] = png_uri(_crops(out))
    found["pca"] = png_uri(_pca(samples, features))
    if results["segmentation"]:
        found["segmentation"] = png_uri(_segmentation(out, samples, features["trained"]))
    return found


def png_uri(picture: Picture) -> str:
    """An image (H, W, 3) RGB as a data URI."""
    ok, data = cv2.imencode(".png", picture[..., ::-1])
    if not ok:
        raise ValueError("expected an RGB picture of 8 bits")
    return "data:image/png;base64," + base64.b64encode(bytes(data)).decode()


def samples_picture(samples: list[Sample]) -> Picture:
    """Radiographs above the same with ground truth: lungs and heart outlined, findings filled."""
    plain = [_grey(sample.image) for sample in samples]
    truth = [_outlined(picture, sample) for picture, sample in zip(plain, samples, strict=True)]
    return grid([plain, truth] if any(sample.masks for sample in samples) else [plain])


def _choose(samples: list[Sample]) -> list[Sample]:
    """A few images, those with findings marked first."""
    marked = [sample for sample in samples if "findings" in sample.masks and sample.masks["findings"].any()]
    keys = {sample.key for sample in marked}
    return (marked + [sample for sample in samples if sample.key not in keys])[:_SHOWN]


def _grey(image: NDArray[np.uint16], side: int = _SIDE) -> Picture:
    cut = np.ascontiguousarray((square(image) // 257).astype(np.uint8))
    wide = cv2.resize(cut, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(wide, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _mask(mask: NDArray[Any], side: int = _SIDE) -> NDArray[Any]:
    cut = np.ascontiguousarray(square(mask))
    return np.asarray(cv2.resize(cut, (side, side), interpolation=cv2.INTER_NEAREST_EXACT), dtype=mask.dtype)


def outline(picture: Picture, mask: NDArray[Any], colour: tuple[int, int, int]) -> None:
    """Draw the outer border of a region into a picture of its size."""
    shapes, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, shapes, -1, colour, 1, cv2.LINE_AA)


def _outlined(picture: Picture, sample: Sample) -> Picture:
    drawn = picture.copy()
    if "findings" in sample.masks:
        inside = _mask(sample.masks["findings"]) > 0
        drawn[inside] = (0.65 * drawn[inside] + 0.35 * np.array(_GOLD)).astype(np.uint8)
    for name, colour in (("lungs", _BLUE), ("heart", _RED)):
        if name in sample.masks:
            labels = _mask(sample.masks[name])
            for value in np.unique(labels[labels > 0]):
                outline(drawn, labels == value, colour)
    return drawn


def grid(rows: list[list[Picture]], gap: int = 4) -> Picture:
    """Pictures of one size in rows."""
    height, width = rows[0][0].shape[:2]
    columns = max(map(len, rows))
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 24, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            sheet[r * (height + gap) : r * (height + gap) + height, c * (width + gap) : c * (width + gap) + width] = (
                picture
            )
    return sheet


def _crops(out: Path) -> Picture:
    """Per image: both global crops with the masked patches dimmed, and its local crops."""
    import ssl_core

    config = ssl_core.load_config(out / "run" / "config.toml")
    seen = ssl_core.preview(config, ImagesInMemory(out / "shards", "train"))
    batch = len(seen["global_crops"]) // 2
    masks = seen["masks"].numpy()
    masked = sorted(range(batch), key=lambda i: -(masks[i].sum() + masks[batch + i].sum()))[:_SHOWN]
    patches = math.isqrt(masks.shape[1])
    side, rows = 160, []
    for i in masked[:4]:
        row = []
        for view in (i, batch + i):
            picture = _crop(seen["global_crops"][view], side, config.crops.mean, config.crops.std)
            hidden = cv2.resize(
                masks[view].reshape(patches, patches).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST
            )
            picture[hidden > 0] = (0.25 * picture[hidden > 0] + 0.75 * np.array([38, 70, 110])).astype(np.uint8)
            row.append(picture)
        for k in range(min(config.crops.local_count, 6)):
            row.append(_crop(seen["local_crops"][k * batch + i], side, config.crops.mean, config.crops.std))
        rows.append(row)
    return grid(rows)


def _crop(crop: torch.Tensor, side: int, mean: float, std: float) -> Picture:
    grey = (crop[0].numpy() * std + mean).clip(0, 1) * 255
    small = cv2.resize(grey.astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _pca(samples: list[Sample], features: dict[str, Features]) -> Picture:
    """First three principal components of the patch tokens as red, green and blue, one row an encoder."""
    rows = [[_grey(sample.image) for sample in samples]]
    for known in features.values():
        place = {key: row for row, key in enumerate(known.samples["key"])}
        tokens = tokens_of(known, np.array([place[sample.key] for sample in samples]))
        n, d, h, w = tokens.shape
        flat = tokens.transpose(0, 2, 3, 1).reshape(-1, d)
        flat = (flat - flat.mean(axis=0)) / np.maximum(flat.std(axis=0), 1e-6)
        axes = np.linalg.svd(flat, full_matrices=False)[2][:3]
        axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
        colours = flat @ axes.T
        low, high = np.percentile(colours, (2, 98), axis=0)
        colours = ((colours - low) / np.maximum(high - low, 1e-9)).clip(0, 1).reshape(n, h, w, -1)
        colours = np.pad(colours, ((0, 0), (0, 0), (0, 0), (0, 3 - colours.shape[-1])))
        maps = (colours * 255).astype(np.uint8)
        rows.append([cv2.resize(m, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST).astype(np.uint8) for m in maps])
    return grid(rows)


def _segmentation(out: Path, samples: list[Sample], trained: Features) -> Picture:
    """Predicted lungs filled, the truth outlined."""
    import raddino_seg

    head = raddino_seg.load(out / "features" / "trained" / "lungs.safetensors")
    place = {key: row for row, key in enumerate(trained.samples["key"])}
    tokens = tokens_of(trained, np.array([place[sample.key] for sample in samples]))
    row = []
    for sample, labels in zip(samples, head.predict(tokens, (MASK_SIZE, MASK_SIZE)), strict=True):
        picture = _grey(sample.image)
        wide = cv2.resize(labels, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
        for value, colour in ((1, _BLUE), (2, _GOLD)):
            picture[wide == value] = (0.7 * picture[wide == value] + 0.3 * np.array(colour)).astype(np.uint8)
            if "lungs" in sample.masks:
                outline(picture, _mask(sample.masks["lungs"]) == value, (255, 255, 255))
        row.append(picture)
    return grid([row])


def curves_uri(metrics: Path) -> str:
    """Losses and diagnostics over the steps, as SVG."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps = [line["step"] for line in lines]
    panels = (
        ("losses", ("dino_global", "dino_local", "ibot")),
        ("teacher entropy (nats)", ("teacher_entropy",)),
        ("effective rank of class tokens", ("rankme",)),
        ("learning rate", ("lr",)),
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 2.6), layout="constrained")
        for axis, (title, names) in zip(figure.subplots(1, len(panels)), panels, strict=True):
            for name in names:
                axis.plot(steps, [line.get(name, np.nan) for line in lines], linewidth=1.4, label=name)
            axis.set_title(title, fontsize=9)
            axis.set_xlabel("step", fontsize=8)
            axis.tick_params(labelsize=7)
            axis.spines[["top", "right"]].set_visible(False)
            if len(names) > 1:
                axis.legend(fontsize=7, frameon=False, labelcolor="#888")
    return "data:image/svg+xml;base64," + base64.b64encode(drawn(figure)).decode()
