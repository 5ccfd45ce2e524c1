"""Memory of training a reporter: tokens stay on disk, so that it does not grow with the number of images."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

_CODE = """
import sys
import threading
import time
from pathlib import Path
import numpy as np
import raddino_reportgen.model as rm
peak = 0
def watch():
    global peak
    while True:
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = max(peak, next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
tokens = np.load(sys.argv[1], mmap_mode="r")
examples = rm.Examples(tokens, ["No effusion. The heart is normal."] * len(tokens))
recipe = rm.load_recipe("tiny", ["steps=5"])
if sys.argv[3] == "read":
    examples = rm.Examples(np.asarray(tokens, np.float32) + 0, examples.reports)
rm.train(rm.Reporter.build(recipe, examples), examples, sys.argv[2])
print(peak)
"""


def reporter() -> str:
    """Peak memory of five steps on 500 and on 40,000 images (49 x 128 tokens), and with all tokens read first.

    Of the process's own pages: those of a mapped file, which the system drops when it needs room, are not counted.
    """
    import numpy as np  # here and not above: only after __main__ has set the number of threads

    told = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for count, way in ((500, "mapped"), (40_000, "mapped"), (40_000, "read")):
            path = root / f"{count}.npy"
            if not path.exists():
                file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(count, 49, 128))
                file[:] = np.random.default_rng(0).normal(size=(49, 128))
                file.flush()
            command = [sys.executable, "-c", _CODE, str(path), str(root / f"{count}{way}"), way]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            told.append(f"{count:,} images {way}: {int(done.stdout.split()[-1]) / 1e3:.0f} MB")
    return "; ".join(told)
