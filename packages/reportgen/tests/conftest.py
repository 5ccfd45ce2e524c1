"""What the tests share: the reports of Open-i, where torchxrayvision is installed."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def openi_archive() -> Path:
    found = importlib.util.find_spec("torchxrayvision")  # found and not imported: it would import torch
    if found is None or found.origin is None:
        pytest.skip("torchxrayvision, which carries Open-i's reports, is not installed")
    return Path(found.origin).parent / "data" / "NLMCXR_reports.tgz"
