"""Facts about `raddino plan`: the bill is right, adds up, and says what to change."""

import json
import subprocess
from collections.abc import Callable

import pytest
import ssl_core
from raddino_cli.commands.plan import command
from raddino_cli.work.gpus import GPUS
from raddino_cli.work.planning import UTILISATION, Request, plan
from raddino_cli.work.published import PUBLISHED
from raddino_cli.work.published import Run as Published

Run = Callable[..., subprocess.CompletedProcess[str]]


def request(*overrides: str, gpus: int = 64, gpu: str = "a100-80", **more: float) -> Request:
    config = ssl_core.load_config("rad-dino-vitb14-518", overrides)
    return Request(config, gpu, gpus, 882775, **more)


def test_the_published_recipe_is_planned_as_one_json_object(raddino: Run) -> None:
    words = ["--recipe", "rad-dino-vitb14-518", "--gpu", "a100-80", "--gpus", 64, "--images", 882775]
    done = raddino("plan", *words, "--iterations", 35000, "--price", 2, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["fits"]
    assert found["passes"] == pytest.approx(101.5, abs=0.1)  # as on RAD-DINO's card
    assert found["cost"] == pytest.approx(2 * found["gpu_hours"])
    assert found["gpu_hours"] == pytest.approx(64 * found["hours"])
    assert found["images_per_second"] * found["hours"] * 3600 == pytest.approx(35000 * 2560)


def test_what_cannot_fit_is_one_line_with_what_to_change_and_code_one(raddino: Run) -> None:
    done = raddino("plan", "--gpu", "rtx4090", "--gpus", 8, "--set", "train.batch_size=512", "--link", 10)
    assert done.returncode == 1
    assert "What to change" in done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: does not fit: 64 images at a time need")
    assert "rtx4090; try --set train." in line


def test_an_unknown_gpu_is_one_line_with_the_known_ones(raddino: Run) -> None:
    done = raddino("plan", "--gpu", "abacus")
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: --gpu: expected one of {', '.join(GPUS)}; got 'abacus'"


def test_help_names_the_cards_and_the_utilisation() -> None:
    text = str(command.__annotations__)
    assert all(name in text for name in GPUS)
    assert str(UTILISATION) in text


@pytest.mark.parametrize(
    ("overrides", "more", "expected"),
    [
        (["train.batch_size=100"], {}, "multiple of 64 GPUs"),
        (["train.precision=float32"], {}, "bfloat16"),
        (["loss.gram_weight=2"], {}, "gram_weight of 0"),
        ([], {"utilisation": 0.0}, "--utilisation"),
        ([], {"utilisation": 1.5}, "--utilisation"),
    ],
)
def test_what_cannot_be_planned_is_refused(overrides: list[str], more: dict[str, float], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        request(*overrides, **more)


def test_half_the_utilisation_takes_twice_the_time_where_computing_limits() -> None:
    full, half = plan(request(utilisation=0.4)), plan(request(utilisation=0.2))
    assert half.phases[0].compute == pytest.approx(2 * full.phases[0].compute)
    assert half.phases[0].loader_cores == pytest.approx(full.phases[0].loader_cores / 2, rel=0.01)


def test_a_slow_link_is_what_limits() -> None:
    assert plan(request()).phases[0].limit == "compute"
    slow = plan(request(link=1e8))
    assert slow.phases[0].limit == "communication"
    assert slow.phases[0].seconds == slow.traffic["fsdp"] / 1e8


def test_the_largest_batch_fits_and_one_image_more_does_not() -> None:
    found = plan(request())
    for images, fits in ((found.largest_batch["kept"], True), (found.largest_batch["kept"] + 1, False)):
        assert plan(request(f"train.batch_size={64 * images}")).fits is fits


def test_each_change_that_is_said_to_fit_fits() -> None:
    found = plan(request("train.batch_size=512", gpus=8, gpu="rtx4090"))
    assert not found.fits
    fitting = [words for words, _, fits in found.changes if fits]
    assert fitting
    for words in fitting:
        parts = words.split()
        sets = [value for key, value in zip(parts[::2], parts[1::2], strict=True) if key == "--set"]
        options = {key[2:]: value for key, value in zip(parts[::2], parts[1::2], strict=True) if key != "--set"}
        changed = request("train.batch_size=512", *sets, gpus=int(options.get("gpus", 8)),
                          gpu=options.get("gpu", "rtx4090"))  # fmt: skip
        assert plan(changed).fits, words


def test_a_phase_of_high_resolution_is_paid_for_and_sets_the_memory() -> None:
    config = ssl_core.load_config("dinov2-vitl14")
    found = plan(Request(config, "a100-80", 96, 10**7))
    assert [phase.steps for phase in found.phases] == [615000, 10000]
    first, last = found.phases
    assert last.flops_per_image["total"] > 4 * first.flops_per_image["total"]
    assert found.kept["total"] == last.memory["total"] > first.memory["total"]
    assert found.hours == pytest.approx(sum(p.steps * p.seconds for p in found.phases) / 3600)


def test_a_recipe_of_volumes_is_planned() -> None:
    found = plan(Request(ssl_core.load_config("volume-3d"), "h100", 8, 5000))
    assert found.phases[0].tokens["teacher"] == 2 * 32 * (8 * 8 * 8 + 1)
    assert found.shard_bytes == 5000 * 32 * 128 * 128 * 2


@pytest.mark.parametrize("run", PUBLISHED, ids=lambda run: run.name)
def test_published_runs_come_out_within_35_percent_at_one_utilisation(run: Published) -> None:
    assert 0.65 <= run.ratio(UTILISATION) <= 1.35
