"""VinDr-RibCXR (Nguyen et al. 2021): 245 images, `data/{train,val}/img`, and the outlines of twenty ribs in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxr_io._errors import CxrError
from cxr_io.datasets._masks import MaskSource, Polygons
from cxr_io.datasets._record import Layout, Record

_RIBS = [f"{side}{number}" for side in "RL" for number in range(1, 11)]


def _records(source: Path, table: Path | None) -> Iterator[Record]:
    for path in [table] if table else _tables(source):
        yield from _split(source, path, "val" if "_val_" in path.name else "train")


def _split(source: Path, table: Path, split: str) -> Iterator[Record]:
    try:
        content: dict[str, Any] = json.loads(table.read_bytes())
        names = _column(content["img"])
        ribs = {rib: _column(content[rib]) for rib in _RIBS if rib in content}
        for i, name in enumerate(names):
            yield Record(
                name=name,
                path=source / name,
                split=split,
                masks={rib: mask for rib, outlines in ribs.items() if (mask := _outline(outlines[i]))},
                dataset="vindr-ribcxr",
            )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CxrError("usage", f"expected columns img, R1..R10, L1..L10 in {table.name}: {error!r}") from error


def _column(values: Any) -> list[Any]:
    """A column's values in order, whether they are a list or keyed by index."""
    return list(values.values()) if isinstance(values, dict) else list(values)


def _outline(points: Any) -> MaskSource | None:
    """An outline; None where the rib isn't in the image, which the file says by the word None."""
    if not isinstance(points, list) or not points:
        return None
    return Polygons((tuple((float(point["x"]), float(point["y"])) for point in points),))


def _tables(source: Path) -> list[Path]:
    patterns = [f"{place}[Vv]in[Dd]r_RibCXR_*_mask.json" for place in ("", "data/*/")]
    return sorted(path for pattern in patterns for path in source.glob(pattern))


LAYOUT = Layout("vindr-ribcxr", lambda source: bool(_tables(source)), _records)
