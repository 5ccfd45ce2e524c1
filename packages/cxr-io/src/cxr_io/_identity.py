"""What may be known of a radiograph without knowing whose it is: an allow-list, and keyed hashes in place of names.

The same patient stays the same hash, and no table of names can undo it. Text from a header or a table passes only as
one of a closed list; numbers pass as numbers within what a body can be.
"""

from __future__ import annotations

import hmac
import math
import os
import re
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Any

from cxr_io._errors import CxrError

KEY_VARIABLE = "CXR_IO_KEY"
_SHORTEST = 16
OLDEST_POSSIBLE = 120.0
_OLDEST = 90.0  # ages above 89 are one class, as HIPAA's safe harbour asks
_MOST = {"age": OLDEST_POSSIBLE, "height_cm": 300.0, "weight_kg": 700.0, "bmi": 300.0}
_VIEWS, _SEXES = ("PA", "AP", "LATERAL"), ("M", "F")
_MAKERS = (
    "Agfa", "Canon", "Carestream", "Del Medical", "DRTECH", "GE", "Hologic", "Kodak", "Konica", "Lodox", "Lumisys",
    "Mindray", "Oldelft", "Philips", "Rayence", "Samsung", "Shimadzu", "Siemens", "Swissray", "Toshiba",
    "United Imaging", "Varian", "Vidar", "Vieworks",
    "Karlsen Medical", "Lumen Imaging", "Northray", "Opal DR",  # which exist in synthetic sets alone
)  # fmt: skip
_WORDS = {name: name.lower() for name in _MAKERS} | {"Fujifilm": "fuji(film)?"}
_MAKER = {name: re.compile(rf"(?<![a-z]){words}(?![a-z])") for name, words in _WORDS.items()}


def find_key(out: Path, given: str | None) -> bytes:
    """The secret: as given, from the environment, or from `<out>.key` beside the output, made on first use.

    The file lies outside the folder of shards, so that sharing the shards doesn't share the key.
    """
    return _checked((given or os.environ.get(KEY_VARIABLE) or "").encode() or _key_beside(out))


def read_key(path: Path) -> str:
    """The secret in a file, such as one that several outputs share; space around it does not count."""
    try:
        return _checked(path.read_bytes().strip()).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CxrError("usage", f"expected a key in {path}: {error}") from error


def _checked(key: bytes) -> bytes:
    if len(key) < _SHORTEST:
        raise CxrError("usage", f"expected a key of at least {_SHORTEST} characters, got {len(key)}")
    return key


def _key_beside(out: Path) -> bytes:
    path = out.with_name(out.name + ".key")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)  # an interrupted run's
        with private(part, "x") as file:
            file.write(secrets.token_hex(32))
        part.replace(path)  # whole or not at all: an empty key would undo every pseudonym
    return path.read_bytes().strip()


def private(path: Path, mode: str) -> Any:
    """A text file, opened so that no other user of the machine may read it."""
    return open(path, mode, encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600))


def pseudonym(key: bytes, kind: str, identifier: str) -> str:
    """Sixteen hexadecimal digits for an identifier of some kind."""
    return hmac.new(key, f"{kind}\0{identifier}".encode(errors="surrogateescape"), sha256).hexdigest()[:16]


def split_of(key: bytes, patient: str) -> str:
    """`train`, `val` or `test` (70, 10, 20 %) for a patient, whatever else is in the archive."""
    u = int(pseudonym(key, "split", patient), 16) / 16**16
    return "train" if u < 0.7 else "val" if u < 0.8 else "test"


def allowed(known: dict[str, Any]) -> dict[str, Any]:
    """The allow-list: view, sex, age (years, at most 90), height_cm, weight_kg, bmi, manufacturer; None if unknown.

    What is no member of its closed list, or no number within a body's range, becomes None; a manufacturer that is not
    on the list becomes `other`.
    """
    view, sex = (str(known.get(name) or "").upper() for name in ("view", "sex"))
    numbers = {name: _number(known.get(name), most) for name, most in _MOST.items()}
    if numbers["age"] is not None:
        numbers["age"] = min(numbers["age"], _OLDEST)
    return {
        "view": view if view in _VIEWS else None,
        "sex": sex if sex in _SEXES else None,
        **numbers,
        "manufacturer": _maker(str(known.get("manufacturer") or "")),
    }


def _number(value: object, most: float) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= most:
        return None
    return float(value)


def _maker(text: str) -> str | None:
    if not text.strip():
        return None
    return next((name for name, pattern in _MAKER.items() if pattern.search(text.lower())), "other")
