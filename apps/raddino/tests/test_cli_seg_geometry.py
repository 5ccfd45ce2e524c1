"""Facts about where masks lie: on the pixels of their radiograph, whatever its shape and the encoder's fit."""

from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
import raddino_encoders
import raddino_seg
from raddino_cli.work.embedding import embed
from raddino_cli.work.features import load_features
from raddino_cli.work.masks import read_masks
from raddino_cli.work.predicting import predict_files
from raddino_cli.work.segmenting import Plan, predict_masks, train_model
from raddino_seg import SegError, Training

HEIGHT, WIDTH = 150, 110


def picture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright box in noise, anywhere but at the edge, and its mask as other tools write it."""
    rng = np.random.default_rng(seed)
    y, x = rng.integers(30, HEIGHT - 75), rng.integers(10, WIDTH - 55)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + 45, x : x + 40] = 255
    image = 0.25 + 0.5 * (mask > 0) + 0.05 * rng.normal(size=mask.shape)
    image[0, 0], image[-1, -1] = 0, 1
    return (image.clip(0, 1) * 65535).astype(np.uint16), mask


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("geometry")
    for folder in ("images", "masks"):
        (root / "source" / folder).mkdir(parents=True)
    lines = ["path,patient,split,mask.box,blank"]
    for number in range(44):
        image, mask = picture(number)
        cv2.imwrite(str(root / "source" / "images" / f"{number}.png"), image)
        split = "train" if number < 36 else "test"
        drawn = f"masks/{number}.png" if number else ""
        if drawn:
            cv2.imwrite(str(root / "source" / drawn), mask)
        lines.append(f"images/{number}.png,p{number},{split},{drawn},0")
    (root / "source" / "labels.csv").write_text("\n".join(lines) + "\n")
    cxr_io.ingest(root / "source", root / "shards", short_side=64, workers=0, key="sixteen characters or more")
    for fit in ("crop", "letterbox", "stretch"):
        embed(root / "shards", "pixels:4@64/4", root / fit, patches=True, fit=fit, device="cpu")
    return root


PLAN = Plan("linear", ("box",), 64, training=Training(epochs=15, batch_size=6))


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
def test_masks_lie_on_what_the_encoder_saw_and_on_the_radiographs_own_pixels(
    place: Path, fit: str, tmp_path: Path
) -> None:
    model = train_model(place / fit, place / "shards", PLAN)
    features = load_features(place / fit)
    data = read_masks(place / "shards", features, "test", ("box",), size=64)
    assert data.classes == ("box",)
    seen = raddino_seg.measure("dice", predict_masks(model, features, data), data.masks, ["box"])
    assert seen.mean() > 0.85
    model.save(tmp_path / "head")
    for tiles in (1, 2):
        out = tmp_path / f"out{tiles}"
        done, bad = predict_files(
            tmp_path / "head", place / fit, place / "source" / "images", out, tiles=tiles, forms=["png"]
        )
        assert (done, bad) == (44, 0)
        found = np.stack([cv2.imread(str(out / f"{k}.png.png"), cv2.IMREAD_UNCHANGED) for k in range(36, 44)])
        truth = np.stack([picture(k)[1] for k in range(36, 44)])
        assert found.shape == truth.shape
        assert raddino_seg.dice(found > 0, truth > 0).mean() > 0.85


def test_an_image_without_its_mask_is_left_out_unless_its_label_says_there_is_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = load_features(place / "crop")
    assert len(read_masks(place / "shards", features, "train", ("box",)).rows) == 35
    assert "1 of 36 images of the split train are left out" in capsys.readouterr().err
    blank = read_masks(place / "shards", features, "train", ("blank",))
    assert len(blank.rows) == 36
    assert not blank.masks.any()
    with pytest.raises(SegError, match=r"'blank' .* is in none of 36"):
        train_model(place / "crop", place / "shards", Plan(masks=("blank",)))


def test_the_spacing_of_a_mask_is_that_of_what_the_encoder_saw(tmp_path: Path) -> None:
    from raddino_cli.work.features import Features
    from raddino_cli.work.masks import _View

    sample = cxr_io.Sample("k", np.zeros((300, 200), np.uint16), {"spacing_mm": [0.5, 0.4]})
    for fit, short, expected in (
        ("crop", None, (1.0, 0.8)),
        ("crop", 120, (1 / 1.2, 0.8 / 1.2)),
        ("letterbox", None, (1.5, 1.2)),
        ("stretch", None, (1.5, 0.8)),
    ):
        facts = {"fit": fit, "image_size": 100, "preprocessing": {"short_side": short}}
        features = Features(np.zeros((1, 1), np.float32), None, {}, "x", facts=facts)
        assert _View(features, 100).spacing(sample) == pytest.approx(expected)
        assert _View(features, 50).spacing(sample) == pytest.approx(tuple(2 * value for value in expected))
        placed = raddino_encoders.Preprocessing(100, (0.0,), (1.0,), short).masks([np.ones((300, 200), np.uint8)], fit)
        rows, columns = (placed[0].any(axis=axis).sum() for axis in (1, 0))
        assert rows * expected[0] <= 300 * 0.5 + 1e-6
        assert columns * expected[1] <= 200 * 0.4 + 1.0
