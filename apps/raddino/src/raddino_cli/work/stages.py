"""Stages that are done once: each leaves a stamp, and a folder belongs to one configuration."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from raddino_cli.console import finite, say


class Stages:
    """The stages of one output folder of a command, such as "demo".

    A folder that was begun with another configuration is refused, unless `fresh` deletes it first; so is a folder that
    holds files of something else, always.
    """

    def __init__(self, out: Path, command: str, configuration: dict[str, Any], *, fresh: bool = False) -> None:
        self.out = out
        note = out / f"{command}.json"
        if not note.exists() and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
            raise ValueError(
                f"expected {out} to be new, empty or a folder of `raddino {command}`; it holds other files: "
                "choose another --out"
            )
        if fresh:
            shutil.rmtree(out, ignore_errors=True)
        (out / "stages").mkdir(parents=True, exist_ok=True)
        if note.exists():  # and stays as it is: several processes may work on one folder
            _refuse_other(json.loads(note.read_bytes()), configuration, out)
        else:
            write_text(note, json.dumps(configuration, indent=1) + "\n")

    def run(self, name: str, work: Callable[[], Any]) -> Any:
        """The stage's result: from its stamp if it is finished, else by doing the work."""
        stamp = self._stamp(name)
        if stamp.exists():
            say(f"{name}: done before")
            return json.loads(stamp.read_bytes())["result"]
        start = time.monotonic()
        result = work()
        seconds = round(time.monotonic() - start, 1)
        write_text(stamp, json.dumps({"seconds": seconds, "result": finite(result)}, indent=1) + "\n")
        say(f"{name}: {seconds} s")
        return finite(result)

    def has(self, name: str) -> bool:
        """Whether a stage is finished."""
        return self._stamp(name).exists()

    def seconds(self) -> dict[str, float]:
        """How long each finished stage took, in the order of finishing."""
        stamps = sorted((self.out / "stages").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return {path.stem: json.loads(path.read_bytes())["seconds"] for path in stamps}

    def _stamp(self, name: str) -> Path:
        return self.out / "stages" / f"{name}.json"


class Finished(Stages):
    """What is finished in a folder that a command has begun; nothing is done."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def run(self, name: str, work: Callable[[], Any]) -> Any:  # noqa: ARG002
        """The stage's result.

        Raises:
            UnfinishedError: it has none yet.
        """
        if not self.has(name):
            raise UnfinishedError(name)
        return json.loads(self._stamp(name).read_bytes())["result"]


class UnfinishedError(ValueError):
    """A stage that is not done yet."""


def named(words: str, *of: object) -> str:
    """A file's name that tells what it is about, and apart from all others."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")
    return f"{plain[:80]}-{sha256(repr((words, of)).encode()).hexdigest()[:10]}"


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def _refuse_other(found: dict[str, Any], wanted: dict[str, Any], out: Path) -> None:
    if names := [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]:
        changes = "; ".join(f"{name} {found.get(name)}, and now {name} is {wanted.get(name)}" for name in names)
        raise ValueError(
            f"{out} was begun with {changes}; choose another --out, or --fresh to delete it and start over"
        )


def plain(name: str) -> str:
    """A name as it is told from others: case, blanks and underscores don't count."""
    return name.replace("_", " ").lower()
