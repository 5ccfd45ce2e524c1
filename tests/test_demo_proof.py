"""The proof that training teaches: what `make demo` measured, read from its results."""

import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[1] / "runs" / "demo" / "results.json"


@pytest.fixture(scope="module")
def results() -> dict:  # type: ignore[type-arg]
    if not RESULTS.exists():
        pytest.skip("run `make demo` first: it writes runs/demo/results.json")
    found = json.loads(RESULTS.read_text())
    if not found["synthetic"] or found["configuration"]["steps"] is not None:
        pytest.skip("runs/demo holds a demo with settings of one's own")
    return found  # type: ignore[no-any-return]


def above(results: dict, target: str) -> bool:  # type: ignore[type-arg]
    """The trained encoder's interval lies above those of random weights and of raw pixels."""
    trained, random, pixels = (results["probes"][name][target] for name in ("trained", "random", "pixels"))
    return bool(trained["low"] > random["high"] and trained["low"] > pixels["high"])


def test_two_findings_and_sex_lie_above_both_baselines(results: dict) -> None:  # type: ignore[type-arg]
    findings = [
        name for name, score in results["probes"]["trained"].items() if score["metric"] == "auroc" and name != "sex"
    ]
    assert sum(above(results, name) for name in findings) >= 2
    assert above(results, "sex")


def test_age_error_is_lower(results: dict) -> None:  # type: ignore[type-arg]
    errors = {name: scores["age"]["value"] for name, scores in results["probes"].items()}
    assert errors["trained"] < min(errors["random"], errors["pixels"])


def test_lung_dice_is_higher(results: dict) -> None:  # type: ignore[type-arg]
    dice = {name: scores["mean"]["value"] for name, scores in results["segmentation"].items()}
    assert dice["trained"] > max(dice["random"], dice["pixels"])
