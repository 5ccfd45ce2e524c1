"""Facts about the metrics, their intervals and the baselines."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import raddino_reportgen as rg
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

WORDS = ["no", "pleural", "effusion", "is", "seen", "the", "heart", "normal", "in", "size", "left", "small", "nodule"]
REPORTS = (
    "Small left pleural effusion.",
    "No effusion. The heart is enlarged.",
    "Possible right nodule.",
    "Normal chest.",
    "Mild edema, no pneumothorax.",
    "There is consolidation in the left lung. Unchanged from prior.",
)
texts = st.lists(st.sampled_from(WORDS), min_size=4, max_size=20).map(" ".join)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=8)


@settings(deadline=None, max_examples=30)
@given(pairs, st.integers(1, 4))
def test_bleu_from_summed_statistics_is_sacrebleus_corpus_bleu(rows: list[tuple[str, str]], order: int) -> None:
    candidates, references = map(list, zip(*rows, strict=True))
    want = BLEU(lowercase=True, tokenize="13a", max_ngram_order=order).corpus_score(candidates, [references]).score
    assert rg.bleu(candidates, references, order) == pytest.approx(want / 100, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(texts)
def test_the_reference_itself_scores_one(text: str) -> None:
    assert rg.bleu([text], [text]) == pytest.approx(1)
    assert rg.rouge_l([text], [text]) == pytest.approx(1)


def random_pairs(count: int) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(0)
    references = [" ".join(rng.choice(REPORTS, 2)) for _ in range(count)]
    return [r if rng.random() < 0.5 else " ".join(rng.choice(REPORTS, 2)) for r in references], references


def test_every_metric_has_an_interval_around_it() -> None:
    found = rg.evaluate(*random_pairs(60))
    assert set(rg.METRICS) <= set(found)
    for name in rg.METRICS:
        assert found[name].low <= found[name].value <= found[name].high, name
        assert 0 <= found[name].low < found[name].high <= 1, name


def test_resampled_statistics_are_those_of_resampled_texts() -> None:
    candidates, references = random_pairs(12)
    draws = np.random.default_rng(3).multinomial(12, np.full(12, 1 / 12), size=40)
    values = [
        rg.evaluate([c for c, n in zip(candidates, row, strict=True) for _ in range(n)],
                    [r for r, n in zip(references, row, strict=True) for _ in range(n)], replicates=2)
        for row in draws
    ]  # fmt: skip
    found = rg.evaluate(candidates, references, replicates=40, seed=3)
    for name in rg.METRICS:
        want = np.nanpercentile([value[name].value for value in values], (2.5, 97.5))
        assert (found[name].low, found[name].high) == pytest.approx(tuple(want), abs=1e-9), name


def test_patients_are_resampled_whole() -> None:
    candidates, references = random_pairs(40)
    alone = rg.evaluate(candidates, references)["rouge_l"]
    twice = rg.evaluate(candidates * 4, references * 4, [str(i % 40) for i in range(160)])["rouge_l"]
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.2)
    one = rg.evaluate(candidates, references, ["a"] * 40)["bleu4"]
    assert np.isnan(one.low)
    assert np.isnan(one.high)
    assert one.value > 0


def test_a_paired_difference_is_narrower_than_both_intervals() -> None:
    candidates, references = random_pairs(60)
    worse = [references[1] if i % 10 == 0 else text for i, text in enumerate(candidates)]
    a, b = rg.evaluate(candidates, references)["rouge_l"], rg.evaluate(worse, references)["rouge_l"]
    difference = rg.compare(candidates, worse, references)["rouge_l"]
    assert difference.value == pytest.approx(a.value - b.value)
    assert difference.high - difference.low < min(a.high - a.low, b.high - b.low)
    same = rg.compare(candidates, candidates, references)["f1_14_micro"]
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_clinical_f1_is_scikit_learns() -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn, the peer, is not installed")
    candidates, references = random_pairs(50)
    said, truth = (np.isin(rg.label_reports(texts), (1, -1)) for texts in (candidates, references))
    found = rg.evaluate(candidates, references)
    for kind in ("micro", "macro"):
        want = sklearn.f1_score(truth, said, average=kind, zero_division=0)
        assert found[f"f1_14_{kind}"].value == pytest.approx(want)


def test_what_doubt_counts_as_is_a_choice() -> None:
    candidates, references = ["Possible nodule.", "Nodule."], ["Nodule.", "Nodule."]
    values = {u: rg.evaluate(candidates, references, uncertain=u)["omission"].value for u in ("present", "absent")}
    assert values == {"present": 0, "absent": 0.5}
    assert rg.evaluate(candidates, references, uncertain="left out")["f1_14_micro"].value == 1
    with pytest.raises(rg.ReportError, match="left out"):
        rg.evaluate(candidates, references, uncertain="maybe")  # type: ignore[arg-type]


def test_hallucination_and_omission_by_finding() -> None:
    table = rg.findings(["Edema.", "Edema. Nodule."], ["Edema.", "Fracture."])
    assert table["Edema"]["hallucination"].value == 0.5
    assert table["Edema"]["omission"].value == 0
    assert table["Fracture"]["omission"].value == 1
    assert np.isnan(table["Fracture"]["hallucination"].value)
    both = rg.evaluate(["Edema.", "Edema. Nodule."], ["Edema.", "Fracture."])
    assert both["hallucination"].value == pytest.approx(2 / 3)
    assert both["omission"].value == 0.5


def test_what_an_image_cannot_show_is_counted() -> None:
    said = ["Unchanged effusion.", "A 60-year-old man.", "Clear lungs.", "Discussed with Dr. A by phone."]
    found = rg.evaluate(said, ["Clear lungs."] * 4)
    assert found["unseen"].value == 0.75
    for kind in ("prior", "sex", "age", "notification"):
        assert found[f"unseen_{kind}"].value == 0.25
    assert found["unseen_history"].value == 0


def test_another_labeller_and_values_of_ones_own() -> None:
    found = rg.evaluate(["a b", "c d"], ["a b", "e f"], labeller=lambda texts: np.ones((len(texts), 14)),
                        per_pair={"mine": np.array([0.0, 1.0])})  # fmt: skip
    assert found["f1_14_macro"].value == 1
    assert found["mine"].value == 0.5
    with pytest.raises(rg.ReportError, match="mine"):
        rg.evaluate(["a"], ["a"], per_pair={"mine": np.zeros(2)})


def test_an_empty_candidate_scores_nothing() -> None:
    found = rg.evaluate(["", "Left effusion."], ["Left effusion.", "Left effusion."])
    assert found["rouge_l"].value == 0.5
    assert found["omission"].value == 0.5


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("java") and importlib.util.find_spec("pycocoevalcap")), reason="pycocoevalcap or Java is absent"
)
def test_the_convention_coco_gives_pycocoevalcaps_numbers() -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    from raddino_reportgen.metrics._coco import meteor_program  # pycocoevalcap's, which is slow to start

    candidates, references = random_pairs(30)
    gold, mine = (
        PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(side)})
        for side in (references, candidates)
    )
    found = rg.evaluate(candidates, references, convention="coco")
    for order, value in enumerate(Bleu(4).compute_score(gold, mine)[0], 1):
        assert found[f"bleu{order}"].value == pytest.approx(value, abs=1e-6)
    for name, peer in (("rouge_l", Rouge()), ("cider", Cider()), ("meteor", meteor_program())):
        assert found[name].value == pytest.approx(peer.compute_score(gold, mine)[0], abs=1e-6)
        assert found[name].low < found[name].value < found[name].high


def test_rouge_is_rouge_scores() -> None:
    candidates, references = random_pairs(10)
    scorer = RougeScorer(["rougeL"])
    each = [scorer.score(r, c)["rougeL"].fmeasure for c, r in zip(candidates, references, strict=True)]
    assert rg.rouge_l(candidates, references) == pytest.approx(np.mean(each))


def test_retrieval_finds_the_nearest_by_direction() -> None:
    known = np.eye(4, dtype=np.float32)
    model = rg.Retrieval(known, ["a", "b", "c", "d"])
    assert model.generate(known[[2, 0]] + 0.1) == ["c", "a"]
    assert model.ranked(known[:1] + np.array([0.1, 0.3, 0.2, 0]), 3).tolist() == [[0, 1, 2]]
    assert rg.most_frequent(["a", "b", "b"]) == "b"


def test_bad_input_is_named() -> None:
    with pytest.raises(rg.ReportError, match="got 1 and 0"):
        rg.bleu(["a"], [])
    with pytest.raises(rg.ReportError, match="none"):
        rg.evaluate([], [])
    with pytest.raises(rg.ReportError, match="empty"):
        rg.rouge_l(["a"], [" "])
    with pytest.raises(rg.ReportError, match="1 to 4"):
        rg.bleu(["a"], ["a"], 5)
    with pytest.raises(rg.ReportError, match="finite"):
        rg.Retrieval(np.full((2, 3), np.nan), ["a", "b"])
    with pytest.raises(rg.ReportError, match="1 to 2 neighbours"):
        rg.Retrieval(np.eye(2), ["a", "b"]).ranked(np.eye(2), 3)
    with pytest.raises(rg.ReportError, match="patient for each"):
        rg.evaluate(["a b"], ["a b"], [])
    with pytest.raises(rg.ReportError, match="convention"):
        rg.evaluate(["a b"], ["a b"], convention="mine")  # type: ignore[arg-type]


def test_the_example_of_the_readme_runs() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    exec(compile(text.split("```python\n")[1].split("```")[0], "README.md", "exec"), {})
