"""Facts about the language model that reads image tokens: what it learns, how it resumes, how it writes."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import raddino_reportgen as rg

torch = pytest.importorskip("torch", reason="torch is absent; pip install 'raddino-reportgen[model]'")
pytest.importorskip("transformers", reason="transformers is absent; pip install 'raddino-reportgen[model]'")
from raddino_reportgen import model as rm  # noqa: E402
from raddino_reportgen.model._agreement import agree  # noqa: E402
from raddino_reportgen.model._data import IGNORED, Encoded, encode, fill_prompt, pack, read_tokens  # noqa: E402
from raddino_reportgen.model._train import learning_rate  # noqa: E402

SAYINGS = ("No effusion. Heart is normal.", "Large left effusion.", "The heart is enlarged. No nodule.")
RECIPE = replace(
    rm.load_recipe("tiny"), projector="mlp", width=32, depth=2, heads=2, vocabulary=300, steps=60, batch_size=8,
    learning_rate=1e-2, warmup=5, checkpoint_every=20, max_report=40,
)  # fmt: skip


def examples(count: int = 48, contexts: list[Mapping[str, str]] | None = None) -> rm.Examples:
    """Images whose tokens say which of three sentences is theirs."""
    rng = np.random.default_rng(0)
    kinds = np.arange(count) % 3
    tokens = rng.normal(0, 0.3, (count, 4, 6)) + np.eye(6)[kinds][:, None] * 4
    return rm.Examples(tokens.astype(np.float16), [SAYINGS[k] for k in kinds], contexts)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[rm.Reporter, Path]:
    out = tmp_path_factory.mktemp("run")
    return rm.train(rm.Reporter.build(RECIPE, examples()), examples(), out), out


def test_what_is_said_follows_from_the_image(trained: tuple[rm.Reporter, Path]) -> None:
    known = examples()
    assert trained[0].generate(known.tokens[:9]) == list(known.reports[:9])
    shuffled = trained[0].generate(known.tokens[[1, 2, 0]])
    assert shuffled == [SAYINGS[1], SAYINGS[2], SAYINGS[0]]
    assert rm.perplexity(trained[0], known) < 1.2


@pytest.mark.parametrize("projector", ["mlp", "resampler"])
def test_resume_equals_never_stopping(tmp_path: Path, projector: str) -> None:
    recipe = replace(RECIPE, projector=projector, queries=3, steps=6, checkpoint_every=2, accumulate=2, batch_size=4)

    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise StoppedError

    whole = rm.train(rm.Reporter.build(recipe, examples()), examples(), tmp_path / "whole")
    with pytest.raises(StoppedError):
        rm.train(rm.Reporter.build(recipe, examples()), examples(), tmp_path / "parts", progress=stop)
    parts = rm.train(rm.Reporter.build(recipe, examples()), examples(), tmp_path / "parts")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    lines = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "parts")]
    assert lines[0] == lines[1]
    assert len(lines[0].splitlines()) == 6


def test_a_folder_of_another_recipe_is_refused(trained: tuple[rm.Reporter, Path]) -> None:
    other = rm.Reporter.build(replace(RECIPE, seed=1), examples())
    with pytest.raises(rg.ReportError, match="seed"):
        rm.train(other, examples(), trained[1])


def test_accumulation_gives_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    runs = []
    for accumulate in (1, 4):
        recipe = replace(RECIPE, steps=2, accumulate=accumulate, batch_size=16 // accumulate)
        runs.append(rm.train(rm.Reporter.build(recipe, examples()), examples(), tmp_path / str(accumulate)))
    for a, b in zip(runs[0].parameters(), runs[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_a_saved_reporter_writes_the_same(trained: tuple[rm.Reporter, Path]) -> None:
    loaded = rm.Reporter.load(trained[1] / "reporter")
    tokens = examples().tokens[:5]
    assert loaded.generate(tokens) == trained[0].generate(tokens)
    assert json.loads((trained[1] / "reporter" / "reporter.json").read_text())["recipe"]["width"] == 32


def test_a_batch_writes_what_each_image_alone_would(trained: tuple[rm.Reporter, Path]) -> None:
    tokens = examples().tokens[:5]
    contexts = [{"indication": "cough " * i} for i in range(5)]
    reporter = rm.Reporter.build(
        replace(RECIPE, prompt="{image} why: {indication}"), examples(48, [{"indication": "a"}] * 48)
    )
    for decoding in (rm.Decoding(), rm.Decoding(beams=3)):
        together = reporter.generate(tokens, contexts, decoding)
        alone = [reporter.generate(tokens[i : i + 1], contexts[i : i + 1], decoding)[0] for i in range(5)]
        assert together == alone
    sampled = rm.Decoding(temperature=1.0, top_p=0.9)
    assert trained[0].generate(tokens, None, sampled) == trained[0].generate(tokens, None, sampled)


def test_of_several_samples_the_one_that_agrees_is_kept(trained: tuple[rm.Reporter, Path]) -> None:
    drafts = [["Effusion.", ""], ["Effusion and edema.", "Edema."], ["Effusion, edema and nodule.", ""]]
    assert agree(drafts) == ["Effusion and edema.", ""]
    assert agree(drafts[:1]) == drafts[0]
    tokens = examples().tokens[:5]
    decoding = rm.Decoding(temperature=1.0, samples=4)
    said = trained[0].generate(tokens, None, decoding)
    present = [np.isin(rg.label_reports(texts), (1, -1)) for texts in (said, examples().reports[:5])]
    np.testing.assert_array_equal(*present)


def test_the_resampler_knows_where_a_token_is() -> None:
    projector = rm.Resampler(4, 6, 8, 1, 2)
    tokens = torch.randn(1, 4, 6)
    assert not torch.allclose(projector(tokens), projector(tokens.flip(1)))


def test_words_alone_are_learned_where_there_are_no_tokens() -> None:
    words = rm.Examples(np.zeros((3, 0, 1), np.float32), SAYINGS)
    reporter = rm.Reporter.build(replace(RECIPE, projector="resampler"), words)
    assert reporter.images == 0
    assert 1 < rm.perplexity(reporter, words) < 2 * RECIPE.vocabulary


def test_what_all_images_share_at_a_place_is_left_out() -> None:
    known = examples()
    tokens = known.tokens + 100 * np.arange(4, dtype=np.float32)[:, None]
    reporter = rm.Reporter.build(RECIPE, rm.Examples(tokens, known.reports))
    seen = (torch.from_numpy(tokens) - reporter.mean) * reporter.scale
    torch.testing.assert_close(seen.mean(dim=0), torch.zeros(4, 6), atol=1e-3, rtol=0)
    assert float(seen.std()) == pytest.approx(1, abs=0.05)


def test_the_loss_is_of_the_report_alone() -> None:
    reporter = rm.Reporter.build(RECIPE, examples())
    batch = reporter.batch(examples(), np.arange(3), written=True)
    tokenizer = reporter.tokenizer
    for row, labels in enumerate(batch.labels):
        assert tokenizer.decode(labels[labels != IGNORED]) == SAYINGS[row] + "</s>"
    assert batch.image.sum(1).tolist() == [4, 4, 4]
    assert not (batch.image & (batch.labels != IGNORED)).any()


def test_tokens_may_be_rows_of_a_file(tmp_path: Path) -> None:
    known, rows = examples(), np.array([5, 0, 9])
    np.save(tmp_path / "tokens.npy", known.tokens)
    stored = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    picked = rm.Examples(stored, [known.reports[i] for i in rows], None, rows)
    batch = rm.Reporter.build(RECIPE, known).batch(picked, np.array([2, 0]), written=True)
    assert batch.places.tolist() == [9, 5]
    assert torch.equal(read_tokens(picked, batch.places), torch.from_numpy(known.tokens[[9, 5]].astype(np.float32)))


def test_a_line_that_asks_for_a_missing_section_is_left_out() -> None:
    template = "{image}\nIndication: {indication}\nComparison: {comparison}\nFindings:"
    known = fill_prompt(template, {"indication": "cough {image}"})
    assert known == (["", "\nIndication: cough {image}\nFindings:"], ["image"])
    with pytest.raises(rg.ReportError, match="one"):
        fill_prompt("no place", {})


def test_a_report_that_is_cut_has_no_end() -> None:
    tokenizer = rm.train_tokenizer(SAYINGS, 300)
    cut = encode(tokenizer, ("", ""), SAYINGS[0], [0], 2, longest=3)
    assert len(cut.ids) - cut.prompt == 3
    assert cut.ids[-1] != tokenizer.eos_token_id


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft 0.21 asks for it
@pytest.mark.parametrize("adapt", ["frozen", "lora"])
def test_a_published_checkpoint_is_adapted(tmp_path: Path, adapt: str) -> None:
    if adapt == "lora":
        pytest.importorskip("peft", reason="peft is absent; pip install 'raddino-reportgen[lora]'")
    tokenizer = rm.train_tokenizer(SAYINGS, 300)
    base = rm.small_language_model(RECIPE, tokenizer)
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    recipe = replace(RECIPE, adapt=adapt, steps=3, lora_rank=2, pack=100)
    reporter = rm.train(rm.Reporter.build(recipe, examples(), tmp_path / "base"), examples(), tmp_path / "run")
    trainable = {name for name, p in reporter.named_parameters() if p.requires_grad}
    assert all("lora" in name or name.startswith("projector") for name in trainable)
    assert any("lora" in name for name in trainable) == (adapt == "lora")
    tokens = examples().tokens[:3]
    assert rm.Reporter.load(tmp_path / "run" / "reporter").generate(tokens) == reporter.generate(tokens)


def test_packed_examples_have_the_losses_and_gradients_of_examples_alone() -> None:
    contexts = [{"indication": "cough " * (i % 4)} for i in range(48)]
    known = examples(48, contexts)
    found = []
    for room in (0, 100):
        recipe = replace(RECIPE, prompt="{image}\nIndication: {indication}\nFindings:", pack=room)
        reporter = rm.Reporter.build(recipe, known)
        batch = reporter.batch(known, np.arange(12), written=True)
        loss = reporter(read_tokens(known, batch.places), batch)
        loss.backward()
        found.append((len(batch.ids), float(loss.detach()), [p.grad for p in reporter.parameters()]))
    assert found[1][0] < found[0][0] == 12
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-5)
    for a, b in zip(found[0][2], found[1][2], strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_no_row_of_packed_examples_is_longer_than_its_room() -> None:
    sizes = [5, 7, 3, 9, 12, 2]
    rows = pack([Encoded([1] * size, [], 1, []) for size in sizes], 10)
    assert [[len(example.ids) for example in row] for row in rows] == [[5, 3, 2], [7], [9], [12]]


def test_a_language_model_without_positions_cannot_pack(tmp_path: Path) -> None:
    from transformers import BloomConfig, BloomForCausalLM

    tokenizer = rm.train_tokenizer(SAYINGS, 300)
    BloomForCausalLM(BloomConfig(vocab_size=len(tokenizer), hidden_size=16, n_layer=1, n_head=2)).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(rg.ReportError, match="pack=0"):
        rm.Reporter.build(replace(RECIPE, pack=100), examples(), tmp_path)


def views() -> rm.Examples:
    """Images that say nothing, each with a lateral one that says which sentence is its; every fourth has none."""
    known = examples()
    blank = np.random.default_rng(1).normal(0, 0.3, known.tokens.shape).astype(np.float16)
    laterals = np.where(np.arange(48) % 4 == 3, -1, np.arange(48) + 48)
    reports = [known.reports[i] if laterals[i] >= 0 else "Nothing." for i in range(48)]
    rows = np.arange(48)
    return rm.Examples(np.concatenate([blank, known.tokens]), reports, None, rows, {"lateral": laterals})


@pytest.mark.parametrize("room", [0, 100])
def test_a_lateral_image_is_read_where_there_is_one(tmp_path: Path, room: int) -> None:
    recipe = replace(RECIPE, prompt="{image}\nLateral: {lateral}\nFindings:", pack=room, steps=100)
    known = views()
    reporter = rm.train(rm.Reporter.build(recipe, known), known, tmp_path)
    batch = reporter.batch(known, np.arange(4), written=True)
    assert batch.places.tolist() == [0, 48, 1, 49, 2, 50, 3]
    said = reporter.generate(known.tokens, rows=np.arange(12), views={"lateral": known.views["lateral"][:12]})
    assert said == list(known.reports[:12])


def test_recipes_are_data_and_wrong_keys_are_named() -> None:
    assert rm.recipes() == ["rad-dino-vicuna7b", "tiny"]
    assert rm.load_recipe("rad-dino-vicuna7b").projector_layers == 4
    assert rm.load_recipe("tiny", ["steps=7", "learning_rate=1", "prompt=a {image}"]).steps == 7
    wrong = {
        "step=1": "did you mean 'steps'",
        "steps=a": "int",
        "adapt=half": "frozen",
        "steps": "steps=100",
        "width=-1": "above 0",
    }
    for override, words in wrong.items():
        with pytest.raises(rg.ReportError, match=words):
            rm.load_recipe("tiny", [override])
    with pytest.raises(rg.ReportError, match="tiny"):
        rm.load_recipe("absent")


def test_the_rate_rises_and_falls() -> None:
    rates = [learning_rate(RECIPE, step) for step in range(RECIPE.steps)]
    assert max(rates) == RECIPE.learning_rate == rates[RECIPE.warmup]
    assert rates[0] < rates[1]
    assert rates[-1] < rates[-2] < RECIPE.learning_rate


def test_bad_input_is_named(tmp_path: Path, trained: tuple[rm.Reporter, Path]) -> None:
    with pytest.raises(rg.ReportError, match=r"\(B, 4, 6\)"):
        trained[0].generate(np.zeros((1, 4, 7), np.float32))
    with pytest.raises(rg.ReportError, match="a report for each"):
        rm.Examples(np.zeros((2, 4, 6)), ["a"])
    with pytest.raises(rg.ReportError, match="lateral, prior"):
        rm.Examples(np.zeros((2, 4, 6)), ["a", "b"], views={"oblique": np.zeros(2, int)})
    with pytest.raises(rg.ReportError, match="takes; report 0"):
        rm.Reporter.build(replace(RECIPE, max_report=2000), examples()).generate(examples().tokens[:1])
    with pytest.raises(rg.ReportError, match="set one"):
        trained[0].generate(examples().tokens[:1], None, rm.Decoding(beams=2, temperature=1.0))
    with pytest.raises(rg.ReportError, match="temperature above 0"):
        trained[0].generate(examples().tokens[:1], None, rm.Decoding(samples=2))
    with pytest.raises(rg.ReportError, match="adapt=full"):
        rm.Reporter.build(replace(RECIPE, adapt="lora"), examples())
    with pytest.raises(rg.ReportError, match=r"at .*absent"):
        rm.Reporter.build(RECIPE, examples(), tmp_path / "absent")
    with pytest.raises(rg.ReportError, match="report train"):
        rm.Reporter.load(tmp_path)
    tokenizer = rm.train_tokenizer(SAYINGS, 300)
    rm.small_language_model(RECIPE, tokenizer).save_pretrained(tmp_path / "other")
    rm.train_tokenizer([s * 2 + str(i) for i in range(50) for s in SAYINGS], 330).save_pretrained(tmp_path / "other")
    with pytest.raises(rg.ReportError, match="belongs to another model"):
        rm.Reporter.build(RECIPE, examples(), tmp_path / "other")


def test_the_readmes_model_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = (Path(__file__).parents[1] / "README.md").read_text().split("```python\n")[1:]
    exec(compile("".join(block.split("```")[0] for block in blocks), "README.md", "exec"), {})
    assert (tmp_path / "run" / "reporter" / "reporter.json").exists()
