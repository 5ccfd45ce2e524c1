"""Facts about the leakage check of `raddino bench`."""

from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from raddino_cli.work.embedding import embed
from raddino_cli.work.features import Features, load_features
from raddino_cli.work.leaks import find_leaks, training_list
from raddino_cli.work.training import pretrain

KEY = "sixteen characters or more"
TINY = ["model.embed_dim=32", "model.depth=1", "train.steps=1", "train.batch_size=4", "crops.local_count=1"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of each of 60 patients, 20 of them in test: 0.png, 3.png, ..."""
    root, rng = tmp_path_factory.mktemp("leaks"), np.random.default_rng(0)
    (root / "source").mkdir()
    lines = ["path,patient,study,split,opacity"]
    for i in range(60):
        cv2.imwrite(str(root / "source" / f"{i}.png"), rng.integers(0, 65535, (96, 96), dtype=np.uint16))
        lines.append(f"{i}.png,p{i},s{i},{('test', 'train', 'val')[i % 3]},{i // 3 % 2}")
    (root / "source" / "labels.csv").write_text("\n".join(lines) + "\n")
    (root / "shards.key").write_text(KEY)
    cxr_io.ingest(root / "source", root / "shards", short_side=96, workers=0, key=KEY)
    return root / "shards"


@pytest.fixture(scope="module")
def features(shards: Path) -> Features:
    embed(shards, "pixels:2", shards.with_name("features"))
    return load_features(shards.with_name("features"))


def listed(folder: Path, text: str) -> Path:
    (folder / "list.csv").write_text(text)
    return folder / "list.csv"


def test_names_are_found_behind_the_hashes(shards: Path, features: Features, tmp_path: Path) -> None:
    text = "# what it saw\n0.png\nimages/3.png\np6\ns9\n1.png\nunknown\n"
    image, patient, study = find_leaks(listed(tmp_path, text), features, shards)
    assert image == (
        "by image: 2 of 20 test identifiers (10.0 %) are among those of training: 0.png, images/3.png"
    )  # fmt: skip
    assert patient == "by patient: 1 of 20 test identifiers (5.0 %) are among those of training: p6"
    assert study.startswith("by study: 1 of 20")


def test_a_table_says_by_its_header_what_its_columns_are(shards: Path, features: Features, tmp_path: Path) -> None:
    (found,) = find_leaks(listed(tmp_path, "subject_id,age\np0,3\np1,6\np3,9\n"), features, shards)
    assert found == "by patient: 2 of 20 test identifiers (10.0 %) are among those of training: p0, p3"
    (found,) = find_leaks(listed(tmp_path, "age,subject_id\np0,p1\np3,p2\n"), features, shards)
    assert found == "by patient: none of 20 test identifiers is among 2 of training"
    with pytest.raises(ValueError, match="expected a column such as image, patient or study, got uid, age"):
        find_leaks(listed(tmp_path, "uid,age\np0,3\n"), features, shards)


def test_a_run_brings_its_own_list_of_hashes(shards: Path, features: Features, tmp_path: Path) -> None:
    pretrain(shards, tmp_path / "run", "cpu-tiny", TINY)
    own = training_list(str(tmp_path / "run"), {})
    assert own is not None
    assert find_leaks(own, features, shards) == [
        f"by {kind}: none of 20 test identifiers is among 20 of training" for kind in ("image", "patient", "study")
    ]
    key, header, *rows = own.read_text().splitlines()
    assert "p1," not in own.read_text()
    row = features.rows("test")[0]
    leak = ",".join(features.samples[name][row] for name in ("key", "patient", "study"))
    for found in find_leaks(listed(tmp_path, "\n".join([key, header, *rows, leak])), features, shards):
        assert "1 of 20 test identifiers" in found
    (found,) = find_leaks(listed(tmp_path, "\n".join([f"{key}0", header, *rows])), features, shards)
    assert "not checked" in found
    assert "hashes of another key" in found


def test_a_list_that_is_given_wins_over_the_runs(tmp_path: Path) -> None:
    (tmp_path / "training.csv").write_text("key\n")
    assert training_list(str(tmp_path), {}) == tmp_path / "training.csv"
    assert training_list(str(tmp_path), {str(tmp_path): Path("other")}) == Path("other")
    assert training_list("pixels:2", {}) is None


def test_names_without_the_key_prove_nothing(
    shards: Path, features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXR_IO_KEY", raising=False)
    shared = tmp_path / "shared"
    shared.symlink_to(shards)
    (found,) = find_leaks(listed(tmp_path, "0.png\n3.png\n"), features, shared)
    assert "not checked" in found
    monkeypatch.setenv("CXR_IO_KEY", KEY)
    assert "by image: 2 of 20" in find_leaks(listed(tmp_path, "0.png\n3.png\n"), features, shared)[0]


def test_a_list_that_cannot_be_read_is_named(shards: Path, features: Features, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a training list in UTF-8 at .*none\.txt"):
        find_leaks(tmp_path / "none.txt", features, shards)
