"""Facts about the command line: what it offers, how quickly, and how it fails."""

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = [
    [], ["demo"], ["doctor"], ["phantom"], ["data"], ["data", "ingest"], ["data", "doctor"], ["data", "info"],
    ["data", "verify"], ["data", "upload"], ["data", "duplicates"], ["plan"], ["pretrain"], ["embed"], ["probe"],
    ["bench"], ["ablate"], ["card"], ["seg"], ["seg", "train"], ["seg", "evaluate"], ["seg", "predict"],
    ["seg", "few-shot"], ["report"], ["report", "generate"], ["report", "evaluate"], ["report", "train"],
]  # fmt: skip
SNAPSHOT = Path(__file__).with_name("command_line.txt")


def surface(raddino: Run, words: list[str]) -> str:
    """A command's arguments, options and commands, one a line: what a script may rely on."""
    text = raddino(*words, "--help").stdout
    usage = re.findall(r"Usage: (.*(?:\n +\S.*)*)", text)[0]
    options = sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)))
    inner = re.findall(r"(?m)^  ([a-z]+)  ", text.split("Commands:")[1]) if "Commands:" in text else []
    return "\n".join([" ".join(usage.split()), *(f"  {name}" for name in [*options, *inner])])


def test_the_command_line_is_what_it_was(raddino: Run) -> None:
    found = "\n\n".join(surface(raddino, words) for words in COMMANDS) + "\n"
    if os.environ.get("RADDINO_SNAPSHOT"):
        SNAPSHOT.write_text(found)
    assert found == SNAPSHOT.read_text(), "set RADDINO_SNAPSHOT=1 once to accept a change made on purpose"


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "raddino")
def test_help_teaches_by_example(raddino: Run, words: list[str]) -> None:
    text = raddino(*words, "--help").stdout
    assert "Example" in text or "Commands:" in text


@pytest.mark.parametrize("words", [[], ["doctor"], ["demo"], ["data", "ingest"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['raddino', *{words!r}, '--help']\n"
        "from raddino_cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'numpy', 'pydicom', 'matplotlib', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_wrong_usage_is_two_and_names_the_option(raddino: Run) -> None:
    for words in (["demo", "--nonsense"], ["data", "ingest"], ["nothing"]):
        done = raddino(*words)
        assert done.returncode == 2
        assert done.stderr


def test_doctor_says_what_is_here_as_one_json_object(raddino: Run) -> None:
    done = raddino("doctor", "--json")
    found = json.loads(done.stdout)
    assert found["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert all(entry["ready"] or entry["add"].startswith("pip install") for entry in found["abilities"].values())
    assert raddino("doctor").returncode == 0


def one_line(done: subprocess.CompletedProcess[str], expected: str) -> None:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert expected in last


def test_a_missing_an_empty_and_a_wordy_source_are_one_line(raddino: Run, tmp_path: Path) -> None:
    one_line(raddino("demo", "--source", tmp_path / "none", "--out", tmp_path / "a"), "found nothing")
    (tmp_path / "empty").mkdir()
    one_line(raddino("demo", "--source", tmp_path / "empty", "--out", tmp_path / "b"), "found no files")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("not an image")
    one_line(raddino("data", "ingest", tmp_path / "words", tmp_path / "c"), "accepted none")
    one_line(raddino("pretrain", tmp_path / "none", "--out", tmp_path / "d"), "index.json")
    one_line(raddino("probe", tmp_path / "none"), "raddino embed")
    one_line(raddino("embed", tmp_path / "none", "--encoder", "nonsense", "--out", tmp_path / "e"), "expected")


def test_debug_shows_the_traceback(raddino: Run, tmp_path: Path) -> None:
    done = raddino("data", "info", tmp_path / "none", "--debug")
    assert "Traceback" in done.stderr
    assert done.returncode == 1


def test_bad_files_are_listed_and_the_good_ones_go_on(raddino: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        cv2.imwrite(str(source / f"good{i}.png"), rng.integers(0, 65535, (64, 64), dtype=np.uint16))
    cv2.imwrite(str(source / "constant.png"), np.full((64, 64), 9, np.uint8))
    cv2.imwrite(str(source / "dot.png"), np.full((1, 1), 9, np.uint8))
    (source / "notes.txt").write_text("words")
    ct = Path(get_testdata_file("CT_small.dcm"))
    (source / "ct.dcm").write_bytes(ct.read_bytes())
    ds = pydicom.dcmread(ct)
    ds.Modality = "CR"
    ds.save_as(source / "whole.dcm")
    (source / "truncated.dcm").write_bytes((source / "whole.dcm").read_bytes()[:-9000])
    del ds.PixelData
    ds.save_as(source / "nopixels.dcm")
    (tmp_path / "labels.csv").write_text("path,opacity\ngood0.png,1\nabsent.png,0\n")
    done = raddino("data", "ingest", source, tmp_path / "out", "--short-side", "32", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accepted"] == 4
    lines = (tmp_path / "out.rejected.jsonl").read_text().splitlines()
    codes = {entry["file"]: entry["code"] for entry in map(json.loads, lines)}
    assert codes == {
        "constant.png": "constant", "dot.png": "too_small", "notes.txt": "not_an_image", "ct.dcm": "not_a_radiograph",
        "truncated.dcm": "truncated", "nopixels.dcm": "no_pixels",
    }  # fmt: skip
    strict = raddino("data", "ingest", source, tmp_path / "out", "--short-side", "32", "--strict")
    assert strict.returncode == 1
    labelled = raddino(
        "data", "ingest", source, tmp_path / "two", "--labels", tmp_path / "labels.csv", "--short-side", "32", "--json"
    )
    assert json.loads(labelled.stdout)["reasons"] == {"missing_file": 1}


def archive(root: Path, count: int = 6) -> Path:
    root.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        cv2.imwrite(str(root / f"{i}.png"), rng.integers(0, 65535, (64, 64), dtype=np.uint16))
    return root


def test_an_ingest_leaves_out_what_a_list_names_and_says_where_the_names_are(raddino: Run, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("0.png\n")
    done = raddino(
        "data", "ingest", archive(tmp_path / "source"), tmp_path / "out", "--short-side", "32", "--exclude",
        tmp_path / "list.txt",
    )  # fmt: skip
    assert "5 images in" in done.stdout
    assert f"1 rejected (1 excluded); named in {tmp_path / 'out.rejected.jsonl'}" in done.stderr


def test_duplicates_are_found_within_a_folder_of_shards(raddino: Run, tmp_path: Path) -> None:
    source = archive(tmp_path / "source")
    (source / "again.png").write_bytes((source / "1.png").read_bytes())
    raddino("data", "ingest", source, tmp_path / "out", "--short-side", "32")
    found = json.loads(raddino("data", "duplicates", tmp_path / "out", "--json").stdout)["duplicates"]
    assert [pair["distance"] for pair in found] == [0]
    assert "1 pairs" in raddino("data", "duplicates", tmp_path / "out").stdout


def test_help_names_every_layout() -> None:
    import cxr_io
    from raddino_cli.commands.data import DATASETS

    assert DATASETS == cxr_io.DATASETS


def test_the_limits_of_ingest_are_those_of_the_package() -> None:
    import cxr_io
    from raddino_cli.commands.data import ingest

    given = [
        inspect.signature(ingest).parameters[f"max_{name}"].default for name in ("pixels", "file_mib", "decoded_mib")
    ]
    assert cxr_io.Limits(given[0], given[1] << 20, given[2] << 20) == cxr_io.Limits()


def test_the_doctor_of_data_tells_before_an_ingest(raddino: Run, tmp_path: Path) -> None:
    source = archive(tmp_path / "source")
    (source / "ct.dcm").write_bytes(Path(get_testdata_file("CT_small.dcm")).read_bytes())
    found = json.loads(raddino("data", "doctor", source, "--sample", "0", "--json").stdout)
    assert (found["files"], found["modalities"]) == (7, {"CT": 1})
    assert found["estimate"]["images"] == 6
    told = raddino("data", "doctor", source, "--sample", "3")
    assert told.returncode == 0
    assert "3 of 7 files" in told.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_codec_and_key_of_a_file_and_other_settings_are_refused(raddino: Run, tmp_path: Path) -> None:
    source, key = archive(tmp_path / "source"), tmp_path / "secret"
    key.write_text("a key of sixteen characters or more\n")
    words = ["data", "ingest", source, tmp_path / "out", "--short-side", "32", "--key-file", key]
    assert raddino(*words, "--codec", "jxl").returncode == 0
    assert raddino("data", "verify", tmp_path / "out").returncode == 0
    assert not (tmp_path / "out.key").exists()
    one_line(raddino(*words, "--codec", "png", "--bits", "8"), "bits 16 and codec jxl, and now bits 8 and codec png")
    key.write_text("short")
    one_line(raddino(*words), "at least 16 characters, got 5")
    assert raddino(*words, "--workers", "-1").returncode == 2


def test_verify_names_what_is_damaged(raddino: Run, tmp_path: Path) -> None:
    raddino("data", "ingest", archive(tmp_path / "source"), tmp_path / "out", "--short-side", "32")
    shard = next((tmp_path / "out").glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    done = raddino("data", "verify", tmp_path / "out", "--json")
    assert done.returncode == 1
    damaged = json.loads(done.stdout)["damaged"]
    assert {entry["shard"] for entry in damaged} == {shard.name}
    assert sum(entry["sample"] is not None for entry in damaged) == 1


def test_progress_in_a_file_has_an_estimate(raddino: Run, tmp_path: Path) -> None:
    done = raddino("data", "ingest", archive(tmp_path / "source", 12), tmp_path / "out", "--short-side", "32")
    assert "ingest: 12/12" in done.stderr
    assert re.search(r"ingest: \d+/12, 0:00:\d\d left", done.stderr)
