"""python -m tools.bench [NAME ...]: each figure is a median of interleaved runs; ratios above 1 favour us."""

from __future__ import annotations

import os
import sys

# Before numpy is loaded: every figure is of one thread.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"


def main() -> None:
    """Run the benches named, or all."""
    from tools.bench import BENCHES

    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.exit(f"error: expected a bench of {', '.join(BENCHES)}; got {', '.join(unknown)}")
    for name in names:
        print(f"{name:<10} {BENCHES[name]()}", flush=True)


if __name__ == "__main__":
    main()
