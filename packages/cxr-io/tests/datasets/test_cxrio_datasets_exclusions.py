"""Facts about lists of exclusions."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import cxr_io
import numpy as np
import pytest
from cxr_io import CxrError
from cxr_io.datasets import Exclusions

Take = Callable[..., cxr_io.IngestSummary]


def archive(root: Path) -> Path:
    root.mkdir()
    lines = ["path,patient"]
    for i in range(12):
        picture = np.random.default_rng(i).integers(0, 65535, (40, 50), dtype=np.uint16)
        cv2.imwrite(str(root / f"{i}.png"), picture)
        lines.append(f"{i}.png,p{i // 2}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def test_what_is_on_the_exclusion_list_is_left_out_and_reported(take: Take, tmp_path: Path) -> None:
    listed, shards = tmp_path / "out.txt", tmp_path / "shards"
    listed.write_text("# another model's training list\n3.png\n 4 \n\np0\n")
    assert len(Exclusions(listed)) == 3
    source = archive(tmp_path / "source")
    summary = take(source, shards, short_side=32, exclude=listed)
    assert (summary.accepted, summary.reasons) == (8, {"excluded": 4})
    named = [json.loads(line) for line in (tmp_path / "shards.rejected.jsonl").read_text().splitlines()]
    assert {(line["file"], line["code"]) for line in named} == {(f"{i}.png", "excluded") for i in (0, 1, 3, 4)}
    assert (shards / "rejected.jsonl").read_text().count("list of exclusions") == 4
    with pytest.raises(CxrError, match="exclusions"):
        Exclusions(tmp_path / "none.txt")


def test_another_exclusion_list_is_another_setting_and_the_order_of_its_lines_is_not(
    take: Take, tmp_path: Path
) -> None:
    listed, shards = tmp_path / "out.txt", tmp_path / "shards"
    source = archive(tmp_path / "source")
    listed.write_text("3.png\n4.png\n")
    first = take(source, shards, short_side=32, exclude=listed)
    listed.write_text("4.png\n3.png\n")
    assert take(source, shards, short_side=32, exclude=listed) == first
    listed.write_text("3.png\n")
    with pytest.raises(CxrError, match="was begun with exclude"):
        take(source, shards, short_side=32, exclude=listed)
    with pytest.raises(CxrError, match="and now exclude None was asked for"):
        take(source, shards, short_side=32)
