"""Facts about `raddino probe`, on features written by hand."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raddino_cli.work.mapping import map_targets

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of each of 300 patients; features know effusion and age, and nothing of the rare hernia."""
    folder, n = tmp_path_factory.mktemp("features"), 600
    rng = np.random.default_rng(0)
    cls = rng.normal(size=(n, 8)).astype(np.float32)
    patients = np.arange(n) // 2
    effusion = (cls[:, 0] + 0.5 * rng.normal(size=n) > 0.3).astype(float)
    effusion[rng.random(n) < 0.1] = np.nan
    effusion[rng.random(n) < 0.02] = -1
    columns = {
        "key": [f"k{i}" for i in range(n)],
        "split": [("train", "train", "train", "val", "test")[i % 5] for i in patients],
        "patient": [f"p{i}" for i in patients],
        "view": [("PA", "AP")[i % 2] for i in range(n)],
        "sex": [("F", "M")[i % 2] for i in patients],
        "manufacturer": [("GE", "Agfa", "Agfa", None)[i % 4] for i in patients],
        "age": 55 + 12 * cls[:, 1].astype(float) + 3 * rng.normal(size=n),
        "weight_kg": 70 + 10 * rng.normal(size=n),
        "height_cm": np.full(n, np.nan),
        "bmi": np.full(n, np.nan),
        "label.effusion": effusion,
        "label.hernia": (patients < 8).astype(float),
    }
    np.save(folder / "cls.npy", cls)
    pq.write_table(pa.table(columns), folder / "samples.parquet")
    (folder / "features.json").write_text(json.dumps({"format": 1, "encoder": "by hand"}))
    return folder


def _json(raddino: Run, *words: object) -> dict[str, dict[str, object]]:
    done = raddino("probe", *words, "--replicates", 200, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_all_that_is_known_is_probed_with_intervals(raddino: Run, features: Path) -> None:
    found = _json(raddino, features)
    assert list(found) == ["effusion", "sex", "age"]
    effusion = found["effusion"]
    assert 0.7 < effusion["low"] < effusion["value"] < effusion["high"]  # type: ignore[operator]
    assert effusion["average_precision"]["low"] > 0.5  # type: ignore[index]
    assert found["age"]["metric"] == "mae"
    assert found["age"]["r2"]["value"] > 0.8  # type: ignore[index]
    assert found["sex"]["low"] < 0.5 < found["sex"]["high"]  # type: ignore[operator]


@pytest.mark.parametrize("method", ["knn", "logistic"])
def test_other_methods_find_the_same(raddino: Run, features: Path, method: str) -> None:
    found = _json(raddino, features, "--target", "effusion", "--method", method)["effusion"]
    assert found["method"] == method
    assert found["low"] > 0.7  # type: ignore[operator]


def test_an_attentive_probe_reads_patches_and_asks_for_them(raddino: Run, features: Path, tmp_path: Path) -> None:
    words = ["--target", "effusion", "--method", "attentive", "--by", "sex"]
    refused = raddino("probe", features, *words)
    assert refused.returncode == 1
    assert "embed with --patches" in refused.stderr
    patches = np.zeros((600, 8, 2, 2), np.float16)
    patches[:, :, 1, 1] = np.load(features / "cls.npy")
    shutil.copytree(features, tmp_path / "features")
    np.save(tmp_path / "features" / "patches.npy", patches)
    found = _json(raddino, tmp_path / "features", *words)["effusion"]
    assert (found["method"], found["features"]) == ("attentive", "patches")
    assert found["low"] > 0.7  # type: ignore[operator]
    assert {"sex=F", "sex=M"} < {part["group"] for part in found["groups"]}  # type: ignore[attr-defined]


def test_view_and_maker_are_targets_and_names_need_no_care(raddino: Run, features: Path) -> None:
    found = _json(raddino, features, "--target", "View", "--target", "manufacturer", "--target", "EFFUSION")
    assert list(found) == ["view", "manufacturer=Agfa", "manufacturer=GE", "effusion"]
    assert (found["view"]["n"], found["view"]["positives"]) == (120, 60)
    assert found["view"]["low"] < 0.5 < found["view"]["high"]  # type: ignore[operator]
    assert found["manufacturer=GE"]["n"] == found["manufacturer=Agfa"]["n"] == 90
    assert found["manufacturer=GE"]["positives"] == 30


def test_groups_and_their_gap_are_beside_the_whole(raddino: Run, features: Path) -> None:
    words = ["--target", "effusion", "--target", "age", "--by", "sex", "--by", "age", "--by", "view"]
    found = _json(raddino, features, *words)
    for name, metric in (("effusion", "auroc"), ("age", "mae")):
        groups = {part["group"]: part for part in found[name]["groups"]}  # type: ignore[attr-defined]
        assert {"sex=F", "sex=M", "view=AP", "view=PA", "age=40-59"} <= set(groups)
        assert {part["metric"] for part in groups.values()} == {metric}
        gap = abs(groups["view=AP"]["value"] - groups["view=PA"]["value"])
        (said,) = [part for group, part in groups.items() if group.startswith("view: ")]
        assert said["value"] == pytest.approx(gap)


def test_few_images_give_a_curve_and_the_table_shows_it(raddino: Run, features: Path) -> None:
    found = _json(raddino, features, "--target", "effusion", "--shots", "1,16")["effusion"]
    few, more = found["shots"]  # type: ignore[misc]
    assert few["value"] < more["value"] < found["value"] + 0.02  # type: ignore[index, operator]
    done = raddino("probe", features, "--target", "effusion", "--shots", "1,16", "--by", "sex", "--replicates", 50)
    for word in ("16 shots", "sex=F", "sex: ", "From few images"):
        assert word in done.stdout


def test_a_rare_finding_has_a_reason_and_no_number(raddino: Run, features: Path) -> None:
    found = _json(raddino, features, "--target", "hernia", "--by", "sex")["hernia"]
    assert found["value"] is None
    assert "positives in" in str(found["reason"])
    assert all(part["value"] is None for part in found["groups"])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--target", "nothing"],
            "expected a target of effusion, hernia, sex, view, manufacturer=Agfa, manufacturer=GE, age",
        ),
        (["--method", "svm"], "expected the method linear, knn, logistic, attentive; got 'svm'"),
        (["--method", "knn", "--shots", "4"], "expected the method linear with few shots"),
        (["--shots", "few"], "--shots: expected numbers such as 1,4,16; got 'few'"),
        (["--shots", "0"], "1 or more"),
        (["--by", "height"], "expected groups by sex, age, view, manufacturer; got 'height'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(raddino: Run, features: Path, words: list[str], says: str) -> None:
    done = raddino("probe", features, *words)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert says in done.stderr


def test_maps_show_which_patches_speak_for_a_label(raddino: Run, features: Path, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    shutil.copytree(features, folder)
    done = raddino("probe", folder, "--maps", tmp_path / "maps.svg")
    assert done.returncode == 1
    assert "embed with --patches" in done.stderr
    cls = np.load(folder / "cls.npy")
    patches = 0.1 * np.random.default_rng(0).normal(size=(*cls.shape, 3, 4))
    patches[:, :, 2, 1] += cls  # there, and nowhere else, is what the class token knows
    np.save(folder / "patches.npy", patches.astype(np.float16))
    np.save(folder / "mean.npy", patches.mean((2, 3)).astype(np.float32))
    done = raddino("probe", folder, "--target", "effusion", "--target", "age", "--maps", tmp_path / "maps.svg")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "maps.svg").read_text().count("<image") == 2 * 4  # four maps, each with its scale
    done = raddino("probe", folder, "--target", "effusion", "--maps", tmp_path / "maps.png")
    assert done.returncode == 1
    assert "a plot is written as .svg or .pdf, and not as maps.png" in done.stderr
    ((name, maps),) = map_targets(folder, ["effusion"]).items()
    assert name == "effusion"
    for told in (maps.having - maps.without, maps.of_patient):
        assert np.unravel_index(told.argmax(), told.shape) == (2, 1)
    with pytest.raises(ValueError, match="got numbers alone"):
        map_targets(folder, ["age"])
