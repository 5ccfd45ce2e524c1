"""What people see while they wait: bars with an estimate on stderr, results on stdout."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

Progress = Callable[[int, int], None]
_QUIET = 600.0  # seconds without a line in the log of a long run


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A progress callable `(done, total)`; a bar on a terminal, lines where stderr is a file, both with an estimate."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(title)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _lines(title: str) -> Progress:
    """A line every tenth, and every ten minutes, with the time that is left at the pace since the first."""
    last, first, told = -1, (0, 0.0), 0.0

    def tell(done: int, total: int) -> None:
        nonlocal last, first, told
        now, tenth = time.monotonic(), 10 * done // max(total, 1)
        if last < 0 or done < first[0]:
            first = (done, now)
        if tenth != last or now - told > _QUIET:
            last, told = tenth, now
            pace = (done - first[0]) / (now - first[1]) if now > first[1] else 0
            left = f", {timedelta(seconds=round((total - done) / pace))} left" if pace and done < total else ""
            print(f"{title}: {done}/{total}{left}", file=sys.stderr, flush=True)

    return tell


def place_of(words: str) -> Path | str:
    """Where something lies, as a user says it: a folder, or a URL."""
    return words if "://" in words else Path(words)


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A small table on stdout."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title=title, title_justify="left", title_style="bold")
    for i, name in enumerate(columns):
        drawn.add_column(name, justify="left" if i == 0 else "right")
    for row in rows:
        drawn.add_row(*row)
    Console().print(drawn)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout; numbers that are no numbers become null."""
    print(json.dumps(finite(value), indent=1))


def finite(value: Any) -> Any:
    """The same value with NaN and infinity as None, for JSON has neither."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
