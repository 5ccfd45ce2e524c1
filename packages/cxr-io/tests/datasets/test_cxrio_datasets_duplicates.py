"""Facts about near duplicates: what the hash takes for the same, and what it doesn't."""

from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from cxr_io._duplicates import perceptual_hash

KEY = "a key for these tests"


def radiographs(count: int) -> list[np.ndarray]:
    place = next((p for a in Path(__file__).parents if (p := a / "shared" / "data" / "nih").exists()), None)
    if place is None:
        pytest.skip("the real radiographs of ../shared/data are not here")
    paths = sorted((place / "images").rglob("*.png"))[::7][:count]
    return [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]


def blobs(count: int) -> list[np.ndarray]:
    """Smooth pictures, each of its own."""
    drawn = [np.random.default_rng(i).random((12, 12), dtype=np.float32) for i in range(count)]
    return [
        (cv2.resize(small, (200, 220), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).astype(np.uint8)
        for small in drawn
    ]


def shards(folder: Path, images: list[np.ndarray], split: str = "train") -> Path:
    (folder / "source").mkdir(parents=True)
    for i, image in enumerate(images):
        cv2.imwrite(str(folder / "source" / f"{i:03d}.png"), image)
    table = "".join(f"{i:03d}.png,{split if i % 2 else 'test'}\n" for i in range(len(images)))
    (folder / "source" / "labels.csv").write_text("path,split\n" + table)
    cxr_io.ingest(folder / "source", folder / "shards", short_side=128, workers=1, key=KEY + folder.name)
    return folder / "shards"


def changed(image: np.ndarray) -> list[np.ndarray]:
    """The same radiograph as other archives might hold it."""
    jpeg = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_GRAYSCALE)
    return [
        jpeg,
        cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA),
        ((image / 255.0) ** 1.4 * 65535).astype(np.uint16),
        np.clip((image.astype(float) - 20) * 1.2, 0, 255).astype(np.uint8),
    ]


def test_a_radiograph_in_another_form_is_near_and_another_is_far() -> None:
    images = radiographs(60)
    signs = np.stack([perceptual_hash(image) for image in images])
    apart = (signs[:, None] != signs[None]).sum(axis=2) + 255 * np.eye(len(images), dtype=int)
    assert apart.min() > 40
    for image, own in zip(images, signs, strict=True):
        assert max((perceptual_hash(other) != own).sum() for other in changed(image)) <= 32


def test_copies_are_found_across_folders_and_within_one(tmp_path: Path) -> None:
    images = blobs(40)
    a = shards(tmp_path / "a", images[:30])
    b = shards(tmp_path / "b", [changed(images[i])[i % 4] for i in (3, 8, 29)] + images[30:])
    told: list[tuple[int, int]] = []
    found = list(cxr_io.near_duplicates(a, b, progress=lambda *done: told.append(done)))
    assert told == [(i, 43) for i in range(1, 44)]
    assert len(found) == 3
    assert {(pair.split_a, pair.split_b) for pair in found} <= {
        ("train", "test"),
        ("test", "train"),
        ("train", "train"),
    }
    assert all(0 <= pair.distance <= 32 for pair in found)
    assert list(cxr_io.near_duplicates(a, a)) == []
    twice = shards(tmp_path / "c", [images[0], images[1], images[0]])
    (pair,) = cxr_io.near_duplicates(twice, twice)
    assert (pair.distance, pair.split_a, pair.split_b) == (0, "test", "test")
    assert pair.key_a != pair.key_b
