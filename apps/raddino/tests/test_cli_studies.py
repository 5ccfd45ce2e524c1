"""Facts about what a study says of its runs, on numbers that are known."""

from typing import Any

import numpy as np
import pytest
from raddino_cli.studies.analysis import analyse
from raddino_cli.studies.budget import Costs, scale
from raddino_cli.studies.runs import combinations, expand
from raddino_cli.studies.study import Study, built_in, load_study, parse_study, to_toml
from raddino_cli.work.images import is_chosen

STUDY = """
title = "Made up"
seeds = [0, 1, 2]
least_steps = 100
[base]
train.steps = 200
evaluate.probes = ["sex", "age"]
evaluate.masks = []
[[factors]]
name = "objective"
base = "both"
[factors.levels]
both = {}
one = {loss.ibot_weight = 0.0}
other = {"loss.dino_weight" = 0.0}
[[factors.claims]]
text = "one alone is worse"
level = "one"
on = "sex"
expect = "worse"
[[factors]]
name = "share"
base = "all"
scale = "pretrain.share"
[factors.levels]
quarter = {pretrain.share = 0.25}
half = {pretrain.share = 0.5}
all = {pretrain.share = 1.0}
"""
PATIENTS = [f"p{i // 2}" for i in range(200)]


def measured(strength: float, seed: int, reason: str = "") -> dict[str, Any]:
    """A target told as well as `strength` says, from predictions that differ little between seeds."""
    if reason:
        return {"sex": {"reason": reason}, "age": {"reason": reason}}
    shared, own = np.random.default_rng(0), np.random.default_rng((1, seed))
    sex, age = shared.integers(0, 2, 200), shared.normal(size=200)
    noise = shared.normal(size=200) + 0.1 * own.normal(size=200)
    return {
        "sex": {
            "metric": "auroc", "truth": sex.tolist(), "predictions": (strength * sex + noise).tolist(),
            "patients": PATIENTS,
        },
        "age": {
            "metric": "r2", "truth": age.tolist(), "patients": PATIENTS,
            "predictions": (age + np.sqrt(1 / strength) * noise / noise.std()).tolist(),
        },
    }  # fmt: skip


def found(study: Study, strengths: dict[str, float], **reasons: str) -> dict[Any, Any]:
    """Runs whose strength is the product of their levels'."""
    return {
        (run.levels, run.seed): measured(
            float(np.prod([strengths.get(level, 1.0) for level in run.levels])),
            run.seed,
            next((reasons[level] for level in run.levels if level in reasons), ""),
        )
        for run in expand(study)
    }


@pytest.mark.parametrize(("strength", "says"), [(0.2, "supports"), (3.0, "contradicts"), (1.0, "can't tell")])
def test_a_claim_is_supported_contradicted_or_left_open(strength: float, says: str) -> None:
    study = parse_study(STUDY)
    verdict = analyse(study, found(study, {"one": strength}), replicates=200).verdicts[0]
    assert verdict.says == says
    assert "one against both in sex (auroc)" in verdict.sentence
    assert ("that one alone is worse" in verdict.sentence) == (says != "can't tell")


@pytest.mark.parametrize(
    ("change", "why"), [(("[0, 1, 2]", "[0]"), "one seed"), (("steps = 200", "steps = 50"), "50 steps of training")]
)
def test_a_study_that_is_too_small_names_no_winner(change: tuple[str, str], why: str) -> None:
    study = parse_study(STUDY.replace(*change))
    analysis = analyse(study, found(study, {"one": 0.01}), replicates=200)
    assert why in analysis.problem
    assert {verdict.says for verdict in analysis.verdicts} == {"can't tell"}
    assert all("too small" in verdict.sentence for verdict in analysis.verdicts)


@pytest.mark.parametrize(("strength", "says"), [(0.2, "supports"), (1.0, "can't tell")])
def test_a_base_that_is_no_better_than_untrained_weights_tells_nothing(strength: float, says: str) -> None:
    training = STUDY + '[[factors]]\nname = "training"\nbase = "trained"\n[factors.levels]\ntrained = {}\n'
    study = parse_study(training + "untrained = {pretrain.steps_share = 0.0}\n")
    (untrained,) = {run.settings["train.steps"] for run in expand(study) if run.levels[2] == "untrained"}
    assert untrained == 1
    runs = found(study, {"one": 0.2, "quarter": 0.2, "untrained": strength})
    verdicts = {verdict.factor: verdict for verdict in analyse(study, runs, replicates=200).verdicts}
    assert verdicts["objective"].says == says
    assert verdicts["share"].says == (says if says == "can't tell" else "differs")
    assert ("in sex both is not told apart from untrained weights" in verdicts["objective"].sentence) == (strength == 1)


def test_a_level_that_collapsed_has_a_reason_and_no_number() -> None:
    study = parse_study(STUDY)
    analysis = analyse(study, found(study, {}, one="the same in every row"), replicates=200)
    (effect,) = (e for e in analysis.effects if (e.level, e.on) == ("one", "sex"))
    assert effect.value is None
    assert effect.reason == "the same in every row"
    assert analysis.verdicts[0].sentence == "Can't tell whether one alone is worse: the same in every row."
    assert all(e.difference for e in analysis.effects if e.level == "other")


def test_without_claims_a_factor_says_which_levels_differ() -> None:
    study = parse_study(STUDY)
    analysis = analyse(study, found(study, {"quarter": 0.2}), replicates=200)
    (verdict,) = (v for v in analysis.verdicts if v.factor == "share")
    assert verdict.says == "differs"
    assert "quarter in sex -" in verdict.sentence
    assert "half" not in verdict.sentence


def test_a_power_law_is_found_again() -> None:
    study = parse_study(STUDY)
    # R2 errors are 1 / strength: they fall as the share to the power of -0.5 if strength grows as its root.
    strengths = {"quarter": 0.25**0.5, "half": 0.5**0.5}
    (law,) = (law for law in analyse(study, found(study, strengths), replicates=200).laws if law.on == "age")
    assert law.exponent.value == pytest.approx(0.5, abs=0.02)
    assert law.exponent.low < 0.5 < law.exponent.high


def test_in_a_grid_an_effect_is_the_mean_over_the_other_factor() -> None:
    study = parse_study(STUDY.replace('title = "Made up"', 'title = "Made up"\ndesign = "grid"'))
    assert len(combinations(study)) == 9
    one = found(study, {"one": 0.5, "half": 0.3})
    (effect,) = (e for e in analyse(study, one, replicates=50).effects if (e.level, e.on) == ("one", "age"))
    alone = parse_study(STUDY)
    each = []
    for share in ("quarter", "half", "all"):
        part = {
            (levels if levels[1] == "all" else (levels[0], "all"), seed): run
            for (levels, seed), run in one.items()
            if levels[1] == share
        }
        rest = {
            (("both", level), seed): part[("both", "all"), seed] for level in ("quarter", "half") for seed in range(3)
        }
        (own,) = (e for e in analyse(alone, part | rest, replicates=50).effects if (e.level, e.on) == ("one", "age"))
        each.append(own.difference.value)
    assert effect.difference.value == pytest.approx(np.mean(each))


def test_equal_compute_and_shares_of_steps_are_resolved() -> None:
    text = STUDY.replace("[base]", "[base]\npretrain.equal_compute = true")
    study = parse_study(text.replace("pretrain.share = 0.25", "pretrain.share = 0.25, pretrain.steps_share = 0.25"))
    runs = {run.levels: run for run in expand(study)}
    assert runs["both", "quarter"].settings["train.steps"] == 50
    wide = parse_study(text.replace("loss.ibot_weight = 0.0", "model.depth = 8"))
    base, deep = (next(r for r in expand(wide) if r.levels == (level, "all")) for level in ("both", "one"))
    assert deep.settings["train.steps"] < base.settings["train.steps"]
    assert deep.cost == pytest.approx(base.cost, rel=0.01)


def test_a_larger_share_of_the_patients_holds_every_smaller_one() -> None:
    chosen = [{f"p{i}" for i in range(2000) if is_chosen(f"p{i}", share)} for share in (0.0, 0.25, 0.5, 1.0)]
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3]
    assert [len(people) for people in chosen] == pytest.approx([0, 500, 1000, 2000], abs=80)


def test_runs_that_differ_in_their_evaluation_alone_share_an_encoder() -> None:
    runs = expand(load_study("few-shot"))
    assert len({run.name for run in runs}) == len({run.seed for run in runs}) < len(runs)


@pytest.mark.parametrize("name", built_in())
def test_every_built_in_study_fits_its_recipe_and_reads_back_as_the_same(name: str) -> None:
    study = load_study(name)
    assert parse_study(to_toml(study)) == study
    assert len(study.seeds) > 1
    for run in expand(study):
        assert run.settings["train.steps"] >= 1
    assert expand(study)[0].settings["train.steps"] >= study.least_steps


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("evaluate.masks = []", "evaluate.mask = []"), "unknown key evaluate.mask; nearest: evaluate.masks"),
        (("train.steps = 200", "train.stepps = 200"), "unknown key train.stepps"),
        (('on = "sex"', 'on = "height"'), "expected 'on' one of sex, age"),
        (('base = "both"', 'base = "neither"'), "a base among them; got 'neither'"),
        (('expect = "worse"', 'expect = "cheaper"'), "'better' or 'worse'"),
        (("{pretrain.share = 0.25}", "{data.patients = 5}"), "data.patients must be the same for all"),
        (("{pretrain.share = 0.25}", "{}"), "a number for pretrain.share in every level"),
        (("seeds = [0, 1, 2]", "seeds = [1, 1]"), "different numbers"),
        (("[base]", "[base]\npretrain.share = 'all'"), "pretrain.share: expected float"),
        (("[base]", "[bases]"), "unknown key 'bases'"),
        (("title", "title ="), "expected TOML"),
        (
            ("{pretrain.share = 0.25}", "{pretrain.share = 0.25, pretrain.method = 'text', foreign.share = 0.5}"),
            "with pretrain.method text",
        ),
        (("[base]", "[base]\nforeign.shares = 0.5"), "unknown key foreign.shares; nearest: foreign.share"),
    ],
)
def test_what_is_wrong_with_a_study_is_named(change: tuple[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        expand(parse_study(STUDY.replace(*change)))
    assert words in str(caught.value)


def test_a_budget_gives_up_seeds_and_patients_before_half_of_the_steps() -> None:
    study = parse_study(STUDY.replace("[0, 1, 2]", "[0, 1, 2, 3]"))
    costs = Costs(training=1000, image=0.01, seed_image=0.01, seed=10)
    whole = scale(study, 100, costs)
    assert (len(whole.seeds), whole.base["train.steps"], whole.base["data.patients"]) == (4, 200, 1000)
    less = scale(study, 30, costs)
    assert len(less.seeds) == 3
    assert 100 <= less.base["train.steps"] < 200
    assert costs.overhead(3, less.base["data.patients"]) + 3 * 1000 * less.base["train.steps"] / 200 <= 30 * 60 + 10


def test_a_budget_keeps_patients_that_cost_next_to_nothing() -> None:
    costs = Costs(training=1000, image=0.01, seed_image=0.001, seed=10)
    study = scale(parse_study(STUDY), 12, costs)
    assert study.base["data.patients"] == 1000
    assert study.base["train.steps"] < 100


def test_a_budget_that_is_too_small_says_what_would_do() -> None:
    study = scale(parse_study(STUDY), 2, Costs(training=1000, image=0.01, seed_image=0.01, seed=10))
    assert study.base["train.steps"] < study.least_steps
    assert "The least that can tell takes about 26 minutes" in study.budget
    assert analyse(study, found(study, {"one": 0.01}), replicates=50).problem
