"""Facts about what a study says of its runs, on numbers that are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ssl_core
from raddino_cli.studies.ablating import open_folder
from raddino_cli.studies.analysis import analyse
from raddino_cli.studies.budget import Costs, fit_budget, keep_budget, scale
from raddino_cli.studies.measuring import measure_targets
from raddino_cli.studies.runs import combinations, expand
from raddino_cli.studies.study import Study, built_in, is_untrained, load_study, parse_study, to_toml
from raddino_cli.studies.writing import sentences, write_study
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
TRAINING = (
    '[[factors]]\nname = "training"\nbase = "trained"\n[factors.levels]\ntrained = {}\n'
    "untrained = {pretrain.steps_share = 0.0}\n"
)
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
    study = parse_study(STUDY + TRAINING)
    (untrained,) = {run.settings["train.steps"] for run in expand(study) if run.levels[2] == "untrained"}
    assert untrained == 1
    runs = found(study, {"one": 0.2, "quarter": 0.2, "untrained": strength})
    verdicts = {verdict.factor: verdict for verdict in analyse(study, runs, replicates=200).verdicts}
    assert verdicts["objective"].says == says
    assert verdicts["share"].says == (says if says == "can't tell" else "differs")
    words = "in sex both is not told to be better than untrained weights"
    assert (words in verdicts["objective"].sentence) == (strength == 1)


def test_a_level_that_is_better_than_a_base_that_learnt_nothing_is_better() -> None:
    study = parse_study((STUDY + TRAINING).replace("worse", "better"))
    verdict = analyse(study, found(study, {"one": 3.0, "untrained": 1.0}), replicates=200).verdicts[0]
    assert verdict.says == "supports"


def test_where_untrained_weights_could_not_be_measured_nothing_is_told_to_be_lost() -> None:
    study = parse_study(STUDY + TRAINING)
    runs = found(study, {"one": 0.2}, untrained="features of one value")
    assert analyse(study, runs, replicates=200).verdicts[0].says == "can't tell"


def test_a_level_that_sees_too_few_images_for_its_cost_is_not_judged() -> None:
    deep = "one = {model.depth = 40, pretrain.equal_compute = true}"
    study = parse_study(STUDY.replace("one = {loss.ibot_weight = 0.0}", deep))
    verdict = analyse(study, found(study, {"one": 0.2}), replicates=200).verdicts[0]
    (steps,) = {run.settings["train.steps"] for run in expand(study) if run.levels[0] == "one"}
    assert steps < 100
    assert verdict.says == "can't tell"
    assert f"{steps} steps of 64 images are too few for one" in verdict.sentence
    larger = f"one = {{model.depth = 40, train.steps = {steps}, train.batch_size = {64 * (100 // steps + 1)}}}"
    study = parse_study(STUDY.replace("one = {loss.ibot_weight = 0.0}", larger))
    assert analyse(study, found(study, {"one": 0.2}), replicates=200).verdicts[0].says == "supports"


def test_a_law_says_what_grows_with_its_scale_and_nothing_where_nothing_is_told() -> None:
    text = STUDY.replace("pretrain.share = 0.25", "pretrain.share = 0.25, pretrain.steps_share = 0.25") + TRAINING
    for steps, strength, words in (
        (200, 0.2, "In age the error falls: as pretrain.share (and pretrain.steps_share"),
        (50, 0.2, "In age can't tell whether the error falls"),
        (200, 1.0, "but in age all is not told to be better than untrained weights"),
    ):
        study = parse_study(text.replace("steps = 200", f"steps = {steps}"))
        runs = found(study, {"quarter": 0.3, "half": 0.6, "untrained": strength})
        said = " ".join(sentences(analyse(study, runs, replicates=200), study.factors[1]))
        assert words in said


def test_what_is_left_out_of_a_factors_sentence_has_its_reason() -> None:
    study = parse_study(STUDY + TRAINING)
    analysis = analyse(
        study, found(study, {"quarter": 0.2, "untrained": 1.0}, half="features of one value"), replicates=200
    )
    (verdict,) = (v for v in analysis.verdicts if v.factor == "share")
    assert "in sex all is not told to be better than untrained weights" in verdict.sentence
    assert "half in age: features of one value" in verdict.sentence
    no_one = dict.fromkeys(("quarter", "half", "all"), "features of one value")
    analysis = analyse(study, found(study, {}, **no_one), replicates=50)
    (verdict,) = (v for v in analysis.verdicts if v.factor == "share")
    assert (
        verdict.sentence
        == "share: can't tell any level from all; sex: features of one value; age: features of one value."
    )


def test_untrained_weights_are_those_of_the_base_of_their_factor() -> None:
    wide = "{model.depth = 8}"
    levels = (
        f"wide = {wide}\nits = {{model.depth = 8, pretrain.steps_share = 0.0}}\nother = {{pretrain.steps_share = 0.0}}"
    )
    (_, _, factor) = parse_study(
        STUDY + f'[[factors]]\nname = "c"\nbase = "wide"\n[factors.levels]\n{levels}\n'
    ).factors
    assert [is_untrained(factor, level) for level in factor.levels] == [False, True, False]


def test_a_mask_and_a_label_of_one_name_are_two_outcomes() -> None:
    text = STUDY.replace('"sex", "age"', '"findings"').replace("masks = []", 'masks = ["sex"]')
    study = parse_study(text.replace('on = "sex"', 'on = "findings"'))
    dice = {"metric": "dice", "truth": [0.0] * 200, "predictions": [0.5] * 200, "patients": PATIENTS}
    runs = {
        key: run | {"findings": {"labels": ["sex"]}, "mask:sex": dice}
        for key, run in found(study, {"one": 0.2}).items()
    }
    metrics = {effect.on: effect.metric for effect in analyse(study, runs, replicates=50).effects}
    assert metrics == {"findings": "auroc", "sex": "dice"}


def test_findings_are_the_labels_that_the_splits_can_tell(tmp_path: Path) -> None:
    rng, n = np.random.default_rng(0), 300
    common = rng.integers(0, 2, n).astype(float)
    split = ["train"] * 100 + ["val"] * 100 + ["test"] * 100
    rare = np.where(np.arange(n) // 100 == 1, 0.0, common)  # nobody has it in val
    np.save(tmp_path / "cls.npy", rng.normal(size=(n, 4)).astype(np.float32) + common[:, None].astype(np.float32))
    columns = {"key": [f"{i}" for i in range(n)], "split": split, "patient": [f"p{i}" for i in range(n)]}
    columns |= {name: [None] * n for name in ("study", "view", "sex", "manufacturer", "report", "age", "bmi")}
    pq.write_table(pa.table(columns | {"label.common": common, "label.rare": rare}), tmp_path / "samples.parquet")
    (tmp_path / "features.json").write_text('{"format": 1, "encoder": "made up"}')
    measured = measure_targets(tmp_path, ["findings"])
    assert "no positives" in measured["rare"]["reason"]
    assert measured["findings"] == {"labels": ["common"]}


def test_a_study_that_starts_from_weights_and_a_recipe_of_ones_own_has_a_page_without_their_places(
    tmp_path: Path,
) -> None:
    settings = ssl_core.load_config("cpu-tiny", ["model.embed_dim=64", "model.depth=2", "model.num_heads=2"])
    ssl_core.save_encoder(ssl_core.build(settings).teacher.backbone, settings.crops, tmp_path / "begun")
    (tmp_path / "mine.toml").write_text(ssl_core.load_config("cpu-tiny", ["model.whitening=0.0"]).to_toml())
    places = f'pretrain.init = "{tmp_path / "begun"}"\npretrain.recipe = "{tmp_path / "mine.toml"}"'
    study = parse_study(STUDY.replace("[base]", f"[base]\n{places}"))
    (tmp_path / "out").mkdir()
    write_study(study, analyse(study, found(study, {}), replicates=50), tmp_path / "out", {})
    page = (tmp_path / "out" / "results.md").read_text()
    assert "200 steps of mine.toml" in page
    assert 'pretrain.init = "begun"' in page
    assert not [path for path in (tmp_path / "out").iterdir() if str(tmp_path).encode() in path.read_bytes()]


def test_a_file_that_changed_under_its_name_is_another_study(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[model]\nembed_dim = 64\n")
    study = parse_study(STUDY.replace("[base]", f'[base]\npretrain.recipe = "{recipe}"'))
    open_folder(study, tmp_path / "out")
    open_folder(study, tmp_path / "out")
    recipe.write_text("[model]\nembed_dim = 96\n")
    with pytest.raises(ValueError, match=r"contents of .*mine\.toml"):
        open_folder(study, tmp_path / "out")


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


def test_in_a_grid_a_law_is_of_the_mean_over_the_other_factor() -> None:
    study = parse_study(STUDY.replace('title = "Made up"', 'title = "Made up"\ndesign = "grid"'))
    strengths = {"quarter": 0.25**0.5, "half": 0.5**0.5, "one": 0.5, "other": 0.7}
    (law,) = (law for law in analyse(study, found(study, strengths), replicates=50).laws if law.on == "age")
    assert law.exponent.value == pytest.approx(0.5, abs=0.03)
    strengths = {"quarter": 0.25**0.5, "half": 0.5**0.5}
    flat = found(study, strengths)
    flat |= {(levels, seed): flat[(levels[0], "all"), seed] for levels, seed in flat if levels[0] != "both"}
    (law,) = (law for law in analyse(study, flat, replicates=50).laws if law.on == "age")
    assert 0 < law.exponent.value < 0.3


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
    textures = parse_study(text.replace("loss.ibot_weight = 0.0", "foreign.before = 1.0"))
    base, twice = (next(r for r in expand(textures) if r.levels == (level, "all")) for level in ("both", "one"))
    assert (base.settings["train.steps"], twice.settings["train.steps"]) == (200, 100)
    assert twice.cost == base.cost


def test_what_a_level_sets_is_not_undone_by_the_base_of_another_factor() -> None:
    again = '[[factors]]\nname = "epochs"\nbase = "all"\n[factors.levels]\n'
    again += "quarter = {pretrain.share = 0.25, pretrain.steps_share = 0.25}\nall = {pretrain.share = 1.0}\n"
    for order in (STUDY + again, STUDY.replace("[[factors]]", again + "[[factors]]", 1)):
        runs = [run.settings for run in expand(parse_study(order)) if run.seed == 0]
        alike = sorted((run["pretrain.share"], run["train.steps"]) for run in runs)
        assert alike == [(0.25, 50), (0.25, 200), (0.5, 200), *[(1.0, 200)] * 3]


def test_a_level_takes_the_place_of_its_factors_base() -> None:
    runs = expand(parse_study(STUDY.replace("both = {}", "both = {foreign.share = 0.5}")))
    assert {(run.levels[0], run.settings["foreign.share"]) for run in runs} == {("both", 0.5), ("one", 0), ("other", 0)}


def test_a_mixture_of_a_quarter_is_compared_with_the_whole_of_one_of_four_makers() -> None:
    runs = {run.levels[0]: run.settings for run in expand(load_study("diversity"))}
    assert {level: (s["pretrain.share"], s["pretrain.manufacturer"]) for level, s in runs.items()} == {
        "all devices": (0.25, ""),
        "one manufacturer": (1.0, "Northray"),
        "untrained": (0.25, ""),
    }
    (factor,) = load_study("diversity").factors
    assert is_untrained(factor, "untrained")


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
        (("{pretrain.share = 0.25}", "{}"), "a number above 0 for pretrain.share in every level"),
        (("seeds = [0, 1, 2]", "seeds = [1, 1]"), "different numbers"),
        (("[base]", "[base]\npretrain.share = 'all'"), "pretrain.share: expected float"),
        (("[base]", "[bases]"), "unknown key 'bases'"),
        (("title", "title ="), "expected TOML"),
        (
            ("{pretrain.share = 0.25}", "{pretrain.share = 0.25, pretrain.method = 'text', foreign.share = 0.5}"),
            "with pretrain.method text",
        ),
        (
            (
                "{pretrain.share = 0.25}",
                "{pretrain.share = 0.25, pretrain.method = 'text', init.weights = 'x', model.whitening = 0.0}",
            ),
            "none of init.weights with pretrain.method text",
        ),
        (('"sex", "age"', '"sex", "manufacturer"'), "as 'manufacturer=GE'"),
        (("masks = []", 'masks = ["Sex"]'), "got Sex as probe and as mask"),
        (('name = "share"', 'name = "Objective"'), "different names, got objective, Objective"),
        (("{pretrain.share = 0.25}", "{pretrain.share = 1.0}"), "both, quarter sets nothing of its own"),
        (("pretrain.share = 0.25", "pretrain.share = 0"), "pretrain.share: expected a number from"),
        (("[base]", "[base]\nforeign.shares = 0.5"), "unknown key foreign.shares; nearest: foreign.share"),
        (("seeds = [0, 1, 2]", "seeds = 3"), "seeds: expected a list of whole numbers, got 3"),
        (("seeds = [0, 1, 2]", 'seeds = [0.5, "a"]'), "seeds: expected whole numbers from 0 on"),
        (("{pretrain.share = 0.25}", "3"), "level 'quarter': expected a table of settings, got 3"),
        (("title", "budget = 5\ntitle"), "budget: expected words, got 5"),
        (("least_steps = 100", 'least_steps = "many"'), "least_steps: expected a whole number"),
        (("[base]", '[base]\nevaluate.decoder = "linea"'), "evaluate.decoder: expected one of linear"),
        (("[base]", "[base]\nevaluate.shots = -3"), "evaluate.shots: expected a number from 0 to inf, got -3"),
        (("pretrain.share = 0.25", "pretrain.share = 1.5"), "expected a number from 1e-06 to 1, got 1.5"),
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


def test_a_budget_takes_a_share_of_the_steps_once() -> None:
    text = STUDY.replace('base = "all"', 'base = "quarter"').replace("= 0.25}", "= 0.25, pretrain.steps_share = 0.25}")
    study = parse_study(text)
    steps = [run.settings["train.steps"] for run in expand(study)]
    given = scale(study, 1000, Costs(training=10, image=0.01, seed_image=0.001, seed=1))
    assert [run.settings["train.steps"] for run in expand(given)] == steps
    assert "50 of 50 steps" in given.budget


def test_a_budget_keeps_patients_for_the_masks_that_a_level_draws() -> None:
    study = parse_study(STUDY.replace("pretrain.share = 0.5}", "pretrain.share = 0.5, evaluate.shots = 300}"))
    assert scale(study, 1, Costs(training=10, image=1, seed_image=1, seed=1)).base["data.patients"] >= 600


def test_a_budget_holds_though_words_change_and_not_another_study(tmp_path: Path) -> None:
    study = parse_study(STUDY)
    given = scale(study, 12, Costs(training=1000, image=0.01, seed_image=0.001, seed=10))
    (tmp_path / "out").mkdir()
    keep_budget(study, given, tmp_path / "out", 12)
    worded = parse_study(STUDY.replace("Made up", "Invented").replace("one alone is worse", "one alone is poorer"))
    again = fit_budget(worded, tmp_path / "out", 12, fresh=False)
    assert (again.title, again.factors[0].claims[0].text) == ("Invented", "one alone is poorer")
    assert (again.base, again.seeds, again.budget) == (given.base, given.seeds, given.budget)


def test_a_budget_below_what_the_phantoms_cost_says_what_would_do() -> None:
    study = scale(parse_study(STUDY), 0.1, Costs(training=1000, image=1, seed_image=1, seed=10))
    assert study.base["train.steps"] == 1
    assert "The least that can tell takes about" in study.budget


def test_a_budget_below_what_the_images_cost_takes_the_fewest_and_says_how_long() -> None:
    study = parse_study(STUDY.replace("[0, 1, 2]", "[0, 1, 2, 3, 4]"))
    given = scale(study, 0.5, Costs(training=450, image=0.2, seed_image=0.02, seed=60))
    assert (len(given.seeds), given.base["train.steps"]) == (3, 1)
    assert "Even this takes about 4 minutes: " in given.budget


def test_a_budget_that_is_too_small_says_what_would_do() -> None:
    study = scale(parse_study(STUDY), 2, Costs(training=1000, image=0.01, seed_image=0.01, seed=10))
    assert study.base["train.steps"] < study.least_steps
    assert "The least that can tell takes about 26 minutes" in study.budget
    assert analyse(study, found(study, {"one": 0.01}), replicates=50).problem
