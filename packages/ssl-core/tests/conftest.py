"""Shapes in the signatures are checked while tests run: annotations are strings and find the names here."""

import builtins
import sys
import types
from pathlib import Path

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

for _name in ("Bool", "Float", "Int"):
    setattr(builtins, _name, getattr(jaxtyping, _name))

sys.path.insert(0, str(Path(__file__).parent))  # tests share the tiny run of test_sslcore_train

# An int where a float is asked for is fine, as in PEP 484.
_checker = types.ModuleType("ssl_core_typecheck")
_checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # type: ignore[attr-defined]
sys.modules[_checker.__name__] = _checker

with install_import_hook("ssl_core", "ssl_core_typecheck.check"):
    import ssl_core  # noqa: F401
