"""Facts about `raddino embed`: rows that match, resuming, flat memory, folders of older versions."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pyarrow.parquet as pq
import pytest
import raddino_encoders
from raddino_cli.work.embedding import embed
from raddino_cli.work.encoding import choose
from raddino_cli.work.features import load_features
from raddino_cli.work.growing import GrowingArray
from raddino_cli.work.segmenting import encoder_of

Run = Callable[..., subprocess.CompletedProcess[str]]
PIXELS = "pixels:4@28/7"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("embed")
    (root / "source").mkdir()
    lines = ["path,split,age,effusion"]
    for i in range(23):
        pixels = np.random.default_rng(i).integers(0, 65535, (44, 36), dtype=np.uint16)
        cv2.imwrite(str(root / "source" / f"{i}.png"), pixels)
        lines.append(f"{i}.png,{'train' if i < 15 else 'val' if i < 19 else 'test'},{i + 20},{i % 2}")
    (root / "source" / "labels.csv").write_text("\n".join(lines) + "\n")
    cxr_io.ingest(
        root / "source", root / "shards", short_side=32, workers=0, samples_per_shard=4, key="sixteen characters or so"
    )
    return root / "shards"


def test_every_row_is_the_image_of_its_key(raddino: Run, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "features"
    words = ["embed", shards, "--encoder", PIXELS, "--out", out, "--patches", "--batch-size", 4, "--fit", "letterbox"]
    done = raddino(*words)
    assert done.returncode == 0, done.stderr
    assert "features of 23 images" in done.stdout
    assert "embed: 23/23" in done.stderr
    features, encoder = load_features(out), raddino_encoders.load(PIXELS)
    samples = [s for split in ("train", "val", "test") for s in cxr_io.ShardStream(shards, split=split)]
    assert features.samples["key"] == [sample.key for sample in samples]
    assert features.samples["label.effusion"] == [float(sample.meta["labels"]["effusion"]) for sample in samples]
    tokens = encoder.embed([sample.image for sample in samples])
    np.testing.assert_allclose(features.cls, tokens.cls, atol=1e-5)
    assert features.patches is not None
    assert features.mean is not None
    np.testing.assert_allclose(features.patches, tokens.patches, atol=1e-3)
    np.testing.assert_allclose(features.mean, tokens.patches.mean((2, 3)), atol=1e-5)
    assert isinstance(features.cls, np.memmap)
    assert sorted(path.name for path in out.iterdir()) == [
        "cls.npy", "features.json", "mean.npy", "patches.npy", "samples.parquet",
    ]  # fmt: skip
    before = (out / "cls.npy").stat().st_mtime_ns
    assert raddino(*words).returncode == 0
    assert (out / "cls.npy").stat().st_mtime_ns == before  # nothing was left to do


def test_layers_are_a_choice_of_probes(shards: Path, tmp_path: Path) -> None:
    embed(shards, "timm:test_vit", tmp_path / "f", layers=2)
    features = load_features(tmp_path / "f")
    assert features.layers is not None
    assert features.layers.shape == (23, 2, 64)
    np.testing.assert_allclose(features.layers[:, 1], features.cls, atol=1e-6)
    assert {name: x.shape[1] for name, x in features.choices.items()} == {
        "class": 64, "class and mean patch": 128, "class of 2 layers": 128,
    }  # fmt: skip
    embed(shards, "timm:test_resnet", tmp_path / "pooled")
    assert list(load_features(tmp_path / "pooled").choices) == ["class"]  # its class token is the mean patch


def test_a_grid_is_the_mean_of_patches_in_cells_and_a_choice_of_probes(shards: Path, tmp_path: Path) -> None:
    embed(shards, "timm:test_vit", tmp_path / "f", grid=2, patches=True)
    features = load_features(tmp_path / "f")
    assert features.grid is not None
    assert features.patches is not None
    _, _, high, wide = features.patches.shape
    corner = features.patches[:, :, : high // 2, wide // 2 :].astype(np.float32).mean((2, 3))
    np.testing.assert_allclose(features.grid[:, :, 0, 1], corner, atol=2e-3)  # patches are kept in 16 bits
    chosen = features.choices["class and 2 x 2 patches"]
    np.testing.assert_array_equal(chosen, np.concatenate((features.cls, features.grid.reshape(23, -1)), axis=1))
    with pytest.raises(ValueError, match=f"a grid of at most {high} cells a side"):
        embed(shards, "timm:test_vit", tmp_path / "other", grid=high + 1)


def test_a_larger_input_gives_more_tokens_which_what_reads_images_later_has_too(shards: Path, tmp_path: Path) -> None:
    side = raddino_encoders.load("timm:test_vit").image_size
    embed(shards, "timm:test_vit", tmp_path / "f", patches=True, image_size=2 * side)
    features, encoder = load_features(tmp_path / "f"), encoder_of(load_features(tmp_path / "f"))
    assert features.patches is not None
    assert features.facts["image_size"] == encoder.image_size == 2 * side
    tokens = encoder.embed([next(iter(cxr_io.ShardStream(shards, split="train"))).image], fit=None)
    assert features.patches.shape[1:] == tokens.patches.shape[1:]
    np.testing.assert_allclose(features.patches[:1], tokens.patches, atol=5e-3)


def stop_after(images: int, shards: Path, out: Path, **options: object) -> None:
    """Stop as a signal would, at any image."""

    def stop(done: int, _total: int) -> None:
        if done >= images:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(shards, PIXELS, out, batch_size=3, progress=stop, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("images", [3, 15, 17, 23])
def test_resuming_equals_never_stopping(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    monkeypatch.setattr("raddino_cli.work.embedding._SYNC_S", 0.0)
    embed(shards, PIXELS, tmp_path / "whole", patches=True, batch_size=3)
    stop_after(images, shards, tmp_path / "stopped", patches=True)
    seen: list[int] = []
    embed(
        shards,
        PIXELS,
        tmp_path / "stopped",
        patches=True,
        batch_size=2,
        progress=lambda done, _total: seen.append(done),
    )
    assert min(seen, default=24) > images
    for name in ("cls.npy", "mean.npy", "patches.npy", "samples.parquet", "features.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes(), name


@pytest.mark.parametrize("images", [6, 23])
def test_a_killed_process_goes_on(raddino: Run, shards: Path, tmp_path: Path, images: int) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom raddino_cli.work import embedding\n"
        "embedding._SYNC_S = 0\ndef kill(done, total):\n"
        f"    if done >= {images}:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"embedding.embed(Path(sys.argv[1]), {PIXELS!r}, Path(sys.argv[2]), batch_size=2, progress=kill)"
    )
    out = tmp_path / "f"
    killed = subprocess.run([sys.executable, "-c", code, shards, out], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert raddino("embed", shards, "--encoder", PIXELS, "--out", out).returncode == 0
    embed(shards, PIXELS, tmp_path / "whole")
    np.testing.assert_allclose(np.load(out / "cls.npy"), np.load(tmp_path / "whole" / "cls.npy"), atol=1e-5)
    assert (out / "samples.parquet").read_bytes() == (tmp_path / "whole" / "samples.parquet").read_bytes()


def test_features_begun_with_other_settings_are_not_mixed(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raddino_cli.work.embedding._SYNC_S", 0.0)
    stop_after(6, shards, tmp_path / "f")
    with pytest.raises(ValueError, match=r"f\.part was begun with fit crop, and now fit is letterbox"):
        embed(shards, PIXELS, tmp_path / "f", fit="letterbox")
    embed(shards, PIXELS, tmp_path / "f")
    embed(shards, PIXELS, tmp_path / "f", fit="letterbox")  # a finished folder is replaced
    assert json.loads((tmp_path / "f" / "features.json").read_text())["fit"] == "letterbox"


def test_a_damaged_sample_is_left_out_of_every_file(shards: Path, tmp_path: Path) -> None:
    shutil.copytree(shards, tmp_path / "shards")
    path = min((tmp_path / "shards").glob("train-*.tar"))
    data = bytearray(path.read_bytes())
    start = data.index(b"\x89PNG") + 60
    data[start : start + 200] = bytes(200)
    path.write_bytes(data)
    assert embed(tmp_path / "shards", PIXELS, tmp_path / "f", batch_size=5) == 22
    features = load_features(tmp_path / "f")
    assert len(features.cls) == len(features.samples["key"]) == 22


def test_a_table_in_another_order_and_lost_rows_are_noticed(shards: Path, tmp_path: Path) -> None:
    embed(shards, PIXELS, tmp_path / "f")
    table = pq.read_table(tmp_path / "f" / "samples.parquet")
    pq.write_table(table.take(list(range(22, -1, -1))), tmp_path / "f" / "samples.parquet")
    with pytest.raises(ValueError, match="in the order of the features"):
        load_features(tmp_path / "f")
    pq.write_table(table, tmp_path / "f" / "samples.parquet")
    np.save(tmp_path / "f" / "mean.npy", np.zeros((22, 49), np.float32))
    with pytest.raises(ValueError, match=r"as many rows as samples, 23, got 22 in mean\.npy"):
        load_features(tmp_path / "f")


def test_features_of_the_first_format_load(shards: Path, tmp_path: Path) -> None:
    embed(shards, PIXELS, tmp_path / "f", patches=True)
    new = load_features(tmp_path / "f").choices
    (tmp_path / "f" / "mean.npy").unlink()
    facts = {"format": 1, "encoder": PIXELS, "fit": "crop", "image_size": 28, "patch_size": 7}
    (tmp_path / "f" / "features.json").write_text(json.dumps(facts))
    old = load_features(tmp_path / "f").choices
    assert old.keys() == new.keys()
    np.testing.assert_allclose(old["class and mean patch"], new["class and mean patch"], atol=1e-3)


def test_an_array_grows_and_is_taken_up_again(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.npy", np.arange(12, dtype=np.float32).reshape(6, 2)
    array = GrowingArray(path, (2,), np.float32)
    array.append(rows[:4])
    array.close()
    again = GrowingArray(path, (2,), np.float32, rows=3)
    again.append(rows[3:])
    with pytest.raises(ValueError, match=r"expected rows of shape \(2,\), got \(3,\)"):
        again.append(np.zeros((1, 3), np.float32))
    again.close()
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), rows)


def test_devices_and_dtypes_that_are_not_here_are_refused() -> None:
    import torch

    assert choose("cpu", "auto") == ("cpu", torch.float32)
    assert choose("cpu", "bfloat16")[1] == torch.bfloat16
    with pytest.raises(ValueError, match="expected a dtype of auto, float32"):
        choose("cpu", "int8")
    with pytest.raises(ValueError, match="expected a device such as auto"):
        choose("toaster", "auto")


@pytest.mark.gpu
def test_a_gpu_computes_in_bfloat16() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    assert choose("auto", "auto") == ("cuda", torch.bfloat16)


def test_rad_dinos_splines_are_cxr_ios(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (90, 61), dtype=np.uint16)
    mean, std = raddino_encoders.PUBLISHED["rad-dino"].mean, raddino_encoders.PUBLISHED["rad-dino"].std
    preprocessing = raddino_encoders.PUBLISHED["rad-dino"].at(28)
    small = cxr_io.resize_radiograph(cxr_io.Radiograph(pixels), 28)
    ours = preprocessing.images([pixels], "crop")[0, 0].numpy() * std[0] + mean[0]
    top = (small.shape[0] - 28) // 2
    np.testing.assert_allclose(ours, small[top : top + 28] / 65535, atol=1e-4)


def test_a_dicom_file_is_read_as_cxr_io_reads_it() -> None:
    from pydicom.data import get_testdata_file

    path = get_testdata_file("RG1_UNCR.dcm", download=False)
    if path is None:
        pytest.skip("needs pydicom-data with a radiograph")
    encoder = raddino_encoders.load("pixels:16")
    theirs = encoder.preprocess([cxr_io.read(path).pixels])
    np.testing.assert_allclose(encoder.preprocess([path]), theirs, atol=1e-4)


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_images(shards: Path, tmp_path: Path) -> None:
    """4,000 images of 256 pixels, which together take 524 MB as 16 bits, add less than a tenth of that."""
    peaks = {}
    for count in (100, 4000):
        place = tmp_path / str(count)
        writer_shards(place, count)
        code = (
            "import resource, sys\nfrom pathlib import Path\nfrom raddino_cli.work.embedding import embed\n"
            "embed(Path(sys.argv[1]), 'pixels:8@224/14', Path(sys.argv[2]))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, place, tmp_path / f"f{count}"], capture_output=True, text=True, check=True
        )
        peaks[count] = int(done.stdout.split()[-1]) * 1024
    assert peaks[4000] - peaks[100] < 52e6


def writer_shards(place: Path, count: int) -> None:
    """Shards of one picture again and again, each under its own key."""
    source = place.with_name(f"source{place.name}")
    source.mkdir()
    cv2.imwrite(str(source / "0.png"), np.random.default_rng(0).integers(0, 65535, (256, 256), dtype=np.uint16))
    for i in range(1, count):
        (source / f"{i}.png").hardlink_to(source / "0.png")
    cxr_io.ingest(source, place, short_side=256, workers=2, key="sixteen characters or so")
