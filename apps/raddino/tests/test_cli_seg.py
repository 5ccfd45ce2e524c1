"""Facts about `raddino seg`, on phantoms and an encoder of two steps."""

import io
import json
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import cv2
import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

Run = Callable[..., CompletedProcess[str]]
pytestmark = pytest.mark.slow
SIDE = 96


@pytest.fixture(scope="module")
def raddino() -> Run:
    """The command within this process: thirty processes would spend minutes on importing torch."""
    from raddino_cli.main import main

    def run(*words: object) -> CompletedProcess[str]:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr("sys.argv", ["raddino", *map(str, words)])
            patch.setenv("COLUMNS", "160")
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
        return CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="module")
def place(raddino: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms, their shards, a run, and the features of its encoder."""
    root = tmp_path_factory.mktemp("seg")
    for words in (
        ["phantom", root / "source", "--patients", 40, "--size", SIDE],
        ["data", "ingest", root / "source", root / "shards", "--short-side", SIDE],
        ["pretrain", root / "shards", "--out", root / "run", "--recipe", "cpu-tiny", "--set", "train.steps=2"],
        ["embed", root / "shards", "--encoder", root / "run", "--out", root / "features", "--patches"],
        ["seg", "train", root / "features", "--shards", root / "shards", "--head", root / "lungs"],
    ):
        done = raddino(*words)
        assert done.returncode == 0, done.stderr
    return root


def seg(raddino: Run, place: Path, command: str, *words: object) -> CompletedProcess[str]:
    return raddino("seg", command, place / "features", "--shards", place / "shards", *words)


def scores(raddino: Run, place: Path, *words: object) -> dict[str, dict[str, dict[str, float]]]:
    done = seg(raddino, place, "evaluate", "--json", "--replicates", 50, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_all_metrics_are_beside_the_mean_mask_in_millimetres(raddino: Run, place: Path) -> None:
    found = scores(raddino, place, "--head", place / "lungs")
    assert list(found) == ["right lung", "left lung", "mean"]
    for score in found.values():
        assert set(score) >= {"value", "low", "high", "n", "mean_mask", "iou", "hd95", "assd", "sensitivity"}
        assert 0 < score["mean_mask"]["value"] <= 1
        assert 1 < score["hd95"]["value"] < 300
    page = place / "lungs.html"
    table = seg(
        raddino, place, "evaluate", "--head", place / "lungs", "--metric", "assd", "--replicates", 50, "--page", page
    )  # fmt: skip
    html = page.read_text()
    assert html.count("data:image/png") == 1
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert all(word in html for word in ("of the mean mask", "left lung", "not a medical device"))
    for word in ("of the mean mask", "assd", "right lung"):
        assert word in table.stdout
    assert "hd95" not in table.stdout


def test_ribs_that_overlap_are_learnt_from_two_masks(raddino: Run, place: Path) -> None:
    words = ["--mask", "ribs_left", "--mask", "ribs_right", "--size", 64]
    done = seg(
        raddino, place, "train", "--head", place / "ribs", "--decoder", "upernet", "--epochs", 2, "--balance",
        "--loss", "bce+cldice", *words,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = scores(raddino, place, "--head", place / "ribs", "--metric", "sensitivity", *words)
    assert len(found) == 25
    assert "left rib 12" in found
    assert not (place / "ribs.checkpoint").exists()


@pytest.mark.parametrize(
    "options",
    [["--unfreeze", "--decoder", "pyramid"], ["--augment"], ["--layers", "2"], ["--decoder", "unet"]],
    ids=["unfreeze", "augment", "layers", "unet"],
)
def test_models_of_images_are_trained_and_scored(raddino: Run, place: Path, options: list[str]) -> None:
    head = place / options[0].strip("-")
    done = seg(raddino, place, "train", "--head", head, "--epochs", 1, "--size", 48, "--mask", "heart", *options)
    assert done.returncode == 0, done.stderr
    assert list(scores(raddino, place, "--head", head, "--size", 48, "--mask", "heart")) == ["heart", "mean"]


def test_a_structure_of_a_mask_may_be_learnt_alone(raddino: Run, place: Path) -> None:
    words = ["--mask", "devices:ecg_leads", "--mask", "heart"]
    done = seg(raddino, place, "train", "--head", place / "leads", "--epochs", 1, "--balance", *words)
    assert done.returncode == 0, done.stderr
    assert list(scores(raddino, place, "--head", place / "leads", *words)) == ["ecg_leads", "heart", "mean"]


def test_radiographs_are_segmented_at_their_own_size_and_spacing(raddino: Run, place: Path, tmp_path: Path) -> None:
    files = sorted((place / "source").rglob("*.dcm"))[:2]
    source = tmp_path / "source"
    source.mkdir()
    for number, file in enumerate(files):
        shutil.copy(file, source / f"{number}.dcm")
    (source / "words.txt").write_text("not an image")
    words = [
        "seg", "predict", place / "features", "--head", place / "lungs", "--source", source, "--out", tmp_path / "out",
        "--format", "png", "--format", "nifti", "--format", "dicom", "--tiles", 2,
    ]  # fmt: skip
    done = raddino(*words)
    assert done.returncode == 1, done.stderr
    assert "masks of 2 images" in done.stdout
    assert "words.txt: " in done.stderr
    header = pydicom.dcmread(source / "0.dcm")
    label = cv2.imread(str(tmp_path / "out" / "0.dcm.png"), cv2.IMREAD_UNCHANGED)
    assert label.shape == (header.Rows, header.Columns)
    assert set(np.unique(label)) <= {0, 1, 2}
    volume = nibabel.load(tmp_path / "out" / "0.dcm.nii.gz")
    assert np.array_equal(np.asanyarray(volume.dataobj)[:, :, 0].T, label)
    assert volume.header.get_zooms()[:2] == pytest.approx(tuple(header.ImagerPixelSpacing)[::-1])
    found = highdicom.seg.segread(tmp_path / "out" / "0.dcm.seg.dcm")
    pixels = found.get_pixels_by_source_instance([header.SOPInstanceUID])[0]
    assert np.array_equal(pixels, np.stack([label == 1, label == 2], -1))
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert len(stamps) == 6
    raddino(*words)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == stamps


def test_a_few_shot_study_goes_on_where_it_was_stopped(raddino: Run, place: Path, tmp_path: Path) -> None:
    words = ["--out", tmp_path / "few", "--shots", "1,3,100,all", "--draws", 2, "--steps", 2, "--size", 48]
    first = seg(raddino, place, "few-shot", *words, "--json")
    assert first.returncode == 0, first.stderr
    assert "100 shots are left out" in first.stderr
    rows = json.loads(first.stdout)["rows"]
    assert {row["method"] for row in rows} == {"mean-mask", "propagate", "linear", "upernet", "unet"}
    assert [row["draws"] for row in rows if row["method"] == "unet"] == [2, 2, 1]
    assert all(0 <= row["scores"]["mean"]["value"] <= 1 for row in rows)
    (tmp_path / "few" / "stages" / "linear-3-1.json").unlink()
    again = seg(raddino, place, "few-shot", *words)
    assert again.stderr.count("done before") == len(list((tmp_path / "few" / "stages").iterdir())) - 1
    assert "Dice (95 % interval)" in again.stdout
    other = seg(raddino, place, "few-shot", *words, "--seed", 1)
    assert "was begun with seed 0, and now seed is 1" in other.stderr


def test_what_cannot_be_done_is_one_line(raddino: Run, place: Path, tmp_path: Path) -> None:
    head = tmp_path / "head"
    for command, words, says in (
        ("train", ["--head", head, "--mask", "spleen"], "a mask 'spleen' in the split train"),
        ("train", ["--head", head, "--decoder", "nothing"], "expected a decoder of linear, pyramid, upernet, dpt"),
        (
            "train",
            ["--head", head, "--mask", "devices:valve"],
            "expected a structure of devices: chest_tube, pacemaker",
        ),
        ("evaluate", ["--head", head], "written by raddino-seg"),
        ("evaluate", ["--head", place / "lungs", "--mask", "zones"], "mask values 0..2 for 2 classes"),
        ("few-shot", ["--out", tmp_path / "few", "--method", "svm"], "expected methods of mean-mask"),
        ("few-shot", ["--out", tmp_path / "few", "--shots", "some"], "expected numbers such as 1,5,20,all"),
    ):
        done = seg(raddino, place, command, *words)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("error: ")
        assert says in last
