"""Do our numbers equal the reference's? A table of the largest errors, file by file.

python tools/check_golden.py DIR    (a folder of golden vectors; exit 1 if an error is beyond its bound)
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# The comparisons are those of the package's tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packages" / "ssl-core" / "tests"))

import sslcore_golden

DRAWS = 2000  # masks per statistic


def compare_all(folder: Path, scratch: Path) -> Iterator[sslcore_golden.Comparison]:
    """Every comparison of the folder; `scratch` takes run folders."""
    g = sslcore_golden
    for part in (g.steps, g.sinkhorn, g.centring, g.koleo, g.positions, g.schedules, g.groups):
        yield from part(folder)
    yield from g.training(folder, scratch)
    yield from g.masking(folder, DRAWS)


def main() -> None:
    """Print the table; exit 1 if a comparison fails, 2 if the folder can't be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder = parser.parse_args().folder
    print(f"{'file':<28} {'quantity':<16} {'type':<8} {'worst':>8} {'bound':>8} {'compared':>8}")
    failed = 0
    try:
        with tempfile.TemporaryDirectory() as scratch:
            found = compare_all(folder, Path(scratch))
            for (file, quantity, dtype, bound), group in itertools.groupby(sorted(found, key=_row), key=_row):
                row = list(group)
                wrong = [c for c in row if not c.agrees]
                failed += len(wrong)
                worst = max(wrong or row, key=lambda c: c.error)
                verdict = f"  FAILS: {len(wrong)}, worst {worst.name}" if wrong else ""
                kind = dtype.removeprefix("torch.")
                print(f"{file:<28} {quantity:<16} {kind:<8} {worst.error:8.1e} {bound:8.0e} {len(row):8}{verdict}")
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        print(
            f"error: {folder}: expected a folder of golden vectors ({type(error).__name__}: {error})", file=sys.stderr
        )
        sys.exit(2)
    sys.exit(1 if failed else 0)


def _row(comparison: sslcore_golden.Comparison) -> tuple[str, str, str, float]:
    return comparison.file, comparison.quantity, str(comparison.dtype), comparison.bound


if __name__ == "__main__":
    main()
