"""Facts about the text metrics and the retrieval baseline."""

from pathlib import Path

import numpy as np
import pytest
import raddino_reportgen as rg
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

WORDS = [
    "no",
    "pleural",
    "effusion",
    "is",
    "seen",
    "the",
    "heart",
    "normal",
    "in",
    "size",
    "left",
    "right",
    "small",
    "nodule",
]
texts = st.lists(st.sampled_from(WORDS), min_size=4, max_size=20).map(" ".join)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=8)


@settings(deadline=None, max_examples=30)
@given(pairs)
def test_bleu_from_summed_statistics_is_sacrebleus_corpus_bleu(rows: list[tuple[str, str]]) -> None:
    candidates, references = map(list, zip(*rows, strict=True))
    want = BLEU(lowercase=True, tokenize="13a").corpus_score(candidates, [references]).score / 100
    assert rg.bleu4(candidates, references) == pytest.approx(want, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(texts)
def test_the_reference_itself_scores_one(text: str) -> None:
    assert rg.bleu4([text], [text]) == pytest.approx(1)
    assert rg.rouge_l([text], [text]) == pytest.approx(1)


def test_intervals_hold_the_value_and_patients_are_resampled_whole() -> None:
    rng = np.random.default_rng(0)
    references = [" ".join(rng.choice(WORDS, 12)) for _ in range(40)]
    candidates = [r if rng.random() < 0.5 else " ".join(rng.choice(WORDS, 12)) for r in references]
    alone = rg.evaluate(candidates, references)
    for score in alone.values():
        assert score.low < score.value < score.high
    twice = rg.evaluate(candidates * 4, references * 4, [str(i % 40) for i in range(160)])
    width = alone["rouge_l"].high - alone["rouge_l"].low
    assert twice["rouge_l"].high - twice["rouge_l"].low == pytest.approx(width, rel=0.2)


def test_retrieval_finds_the_nearest_by_direction() -> None:
    known = np.eye(4, dtype=np.float32)
    model = rg.Retrieval(known, ["a", "b", "c", "d"])
    assert model.generate(known[[2, 0]] + 0.1) == ["c", "a"]


def test_sections_split_at_headings() -> None:
    found = rg.sections("FINDINGS:\nHeart is normal.\n\nIMPRESSION: No acute disease.\n")
    assert found == {"findings": "Heart is normal.", "impression": "No acute disease."}
    assert rg.sections("plain") == {"": "plain"}


def test_bad_input_is_named() -> None:
    with pytest.raises(rg.ReportError, match="reference for each"):
        rg.bleu4(["a"], [])
    with pytest.raises(rg.ReportError, match="empty"):
        rg.rouge_l(["a"], [" "])
    with pytest.raises(rg.ReportError, match="finite"):
        rg.Retrieval(np.full((2, 3), np.nan), ["a", "b"])
    with pytest.raises(rg.ReportError, match="patient for each"):
        rg.evaluate(["a b"], ["a b"], [])


def test_the_example_of_the_readme_runs() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    exec(compile(text.split("```python\n")[1].split("```")[0], "README.md", "exec"), {})
