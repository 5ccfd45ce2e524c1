"""Facts about published metrics, on small stand-ins in their published formats."""

import json
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import raddino_reportgen as rg
from raddino_reportgen import published

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "left", "effusion", "no", "edema", ".", "normal"]
TEXTS = ["Left effusion.", "No edema.", "Normal.\nNo left  effusion"]


@pytest.fixture
def chexbert(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint with the layout of chexbert.pth: DataParallel's names, position ids, 14 heads."""
    torch = pytest.importorskip("torch", reason="torch is absent; pip install 'raddino-reportgen[model]'")
    transformers = pytest.importorskip("transformers", reason="transformers is absent")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=1, intermediate_size=48,
        max_position_embeddings=64,
    )  # fmt: skip
    weights = {f"module.bert.{k}": v for k, v in transformers.BertModel(config).state_dict().items()}
    weights["module.bert.embeddings.position_ids"] = torch.arange(64)[None]
    for i in range(14):
        weights[f"module.linear_heads.{i}.weight"] = torch.randn(4 if i < 13 else 2, 32)
        weights[f"module.linear_heads.{i}.bias"] = torch.randn(4 if i < 13 else 2)
    torch.save({"epoch": 1, "model_state_dict": weights}, tmp_path / "chexbert.pth")
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return tmp_path / "chexbert.pth", tmp_path / "vocab.txt"


def test_chexbert_is_its_bert_and_its_heads(chexbert: tuple[Path, Path]) -> None:
    import torch
    from transformers import BertConfig, BertModel

    model = published.CheXbert(*chexbert)
    labels = model(TEXTS)
    assert labels.shape == (3, 14)
    saved = torch.load(chexbert[0], weights_only=True)["model_state_dict"]
    bert = BertModel(BertConfig(vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=1,
                                intermediate_size=48, max_position_embeddings=64)).eval()  # fmt: skip
    bert.load_state_dict(
        {k.removeprefix("module.bert."): v for k, v in saved.items() if ".bert." in k and "_ids" not in k}
    )
    ids = torch.tensor([[2, 5, 6, 9, 3]])  # [CLS] left effusion . [SEP]
    with torch.inference_mode():
        seen = bert(input_ids=ids).last_hidden_state[:, 0]
    for i, name in enumerate(rg.FINDINGS):
        weight, bias = (saved[f"module.linear_heads.{i}.{part}"] for part in ("weight", "bias"))
        want = [np.nan, 1, 0, -1][int((seen @ weight.T + bias).argmax())]
        np.testing.assert_equal(labels[0, i], want, err_msg=name)
    np.testing.assert_allclose(model.similarity(TEXTS, TEXTS), 1, atol=1e-5)
    assert rg.evaluate(TEXTS, TEXTS, labeller=model)["hallucination"].n == 3


def test_a_checkpoint_of_something_else_is_named(chexbert: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    saved = torch.load(chexbert[0], weights_only=True)
    saved["model_state_dict"].pop("module.linear_heads.13.bias")
    torch.save(saved, tmp_path / "short.pth")
    with pytest.raises(rg.ReportError, match=r"linear_heads\.13"):
        published.CheXbert(tmp_path / "short.pth", chexbert[1])
    (tmp_path / "other.txt").write_text("\n".join(WORDS[:-1]))
    with pytest.raises(rg.ReportError, match="vocabulary of 11"):
        published.CheXbert(chexbert[0], tmp_path / "other.txt")
    with pytest.raises(rg.ReportError, match=r"vocab\.txt"):
        published.CheXbert(chexbert[0], tmp_path / "absent.txt")
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(rg.ReportError, match="model_state_dict"):
        published.CheXbert(tmp_path / "text.pth", chexbert[1])


GRAPHS = {
    "0": {"text": "left effusion", "entities": {
        "1": {"tokens": "effusion", "label": "OBS-DP", "start_ix": 1, "end_ix": 1, "relations": [["located_at", "2"]]},
        "2": {"tokens": "left", "label": "ANAT-DP", "start_ix": 0, "end_ix": 0, "relations": []}}},
    "1": {"text": "right effusion", "entities": {
        "1": {"tokens": "effusion", "label": "OBS-DP", "start_ix": 1, "end_ix": 1, "relations": [["located_at", "2"]]},
        "2": {"tokens": "right", "label": "ANAT-DP", "start_ix": 0, "end_ix": 0, "relations": []}}},
    "2": {"text": "effusion", "entities": {
        "1": {"tokens": "effusion", "label": "OBS-DP", "start_ix": 0, "end_ix": 0, "relations": []}}},
}  # fmt: skip


def test_radgraph_f1_is_of_entities_and_relations(tmp_path: Path) -> None:
    (tmp_path / "graphs.json").write_text(json.dumps(GRAPHS))
    left, right, bare = published.load_graphs(tmp_path / "graphs.json")
    want = {"RG_E": (1, 0.5, 2 / 3), "RG_ER": (1, 0.5, 0), "RG_bar_ER": (1, 0, 0), "RG_combined": (1, 0.25, 1 / 3)}
    for reward, values in want.items():
        found = published.radgraph_f1([left, left, left], [left, right, bare], reward)  # type: ignore[arg-type]
        assert found == pytest.approx(values), reward
    assert published.radgraph_f1([{"entities": {}}], [left])[0] == 0
    with pytest.raises(rg.ReportError, match="RG_bar_ER"):
        published.radgraph_f1([left], [left], "RG")  # type: ignore[arg-type]
    (tmp_path / "bad.json").write_text('{"0": {"text": "a"}}')
    with pytest.raises(rg.ReportError, match="entities"):
        published.load_graphs(tmp_path / "bad.json")


def test_capital_letters_count_where_the_package_counts_them() -> None:
    small = {"entities": {"1": {"tokens": "edema", "label": "OBS-DP", "relations": []}}}
    large = {"entities": {"1": {"tokens": "Edema", "label": "OBS-DP", "relations": []}}}
    assert published.radgraph_f1([small], [large], "RG_E")[0] == 0
    assert published.radgraph_f1([small], [large], "RG_bar_ER")[0] == 0
    for graph in (small, large):
        graph["entities"]["2"] = {"tokens": "mild", "label": "OBS-DP", "relations": [["modify", "1"]]}
    assert published.radgraph_f1([small], [large], "RG_bar_ER")[0] == 0.5


def named(monkeypatch: pytest.MonkeyPatch, module: str, name: str, **fields: Any) -> Any:
    """An object of a class that pickle finds as `module.name`."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        package = ".".join(parts[:end])
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    kind = type(name, (), {"__module__": module})
    monkeypatch.setattr(sys.modules[module], name, kind, raising=False)
    made = kind()
    vars(made).update(fields)
    return made


@pytest.fixture
def radcliq(tmp_path: Path) -> Path:
    """Both versions of the composite in the layout of their published pickles."""
    folder = tmp_path / "radcliq"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        means, scales = np.array([0.2, 0.5, 0.4, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
        scaler = named(patch, "sklearn.preprocessing._data", "StandardScaler", mean_=means, scale_=scales)
        weights = np.array([-0.4, -0.3, -0.2, -0.1, 1.5])
        composite = named(patch, "CXRMetric.run_eval", "CompositeMetric", scaler=scaler, coefs=weights)
        (folder / "radcliq-v1.pkl").write_bytes(pickle.dumps(composite))
    with pytest.MonkeyPatch.context() as patch:
        line = named(
            patch, "sklearn.linear_model._base", "LinearRegression", coef_=-np.ones(4), intercept_=np.float64(4)
        )
        (folder / "composite_metric_model.pkl").write_bytes(pickle.dumps(line))
        unit = named(patch, "sklearn.preprocessing._data", "MinMaxScaler", scale_=2 * np.ones(4), min_=np.full(4, -0.5))
        (folder / "normalizer.pkl").write_bytes(pickle.dumps(unit))
    return folder


def test_radcliq_is_read_without_running_it(radcliq: Path) -> None:
    table = np.array([[0.2, 0.5, 0.4, 0.1], [0.3, 0.5, 0.4, 0.5]])
    first = published.RadCliQ(radcliq / "radcliq-v1.pkl")
    np.testing.assert_allclose(first(*table.T), [1.5, 1.0])
    zeroth = published.RadCliQ(radcliq / "composite_metric_model.pkl", radcliq / "normalizer.pkl")
    np.testing.assert_allclose(zeroth(*table.T), 4 - (2 * table - 0.5).sum(axis=1))
    with pytest.raises(rg.ReportError, match=r"normalizer\.pkl"):
        published.RadCliQ(radcliq / "composite_metric_model.pkl")


def test_radcliqs_bleu_is_of_two_words() -> None:
    found = published.bleu_2(["No effusion.", "left", ""], ["no effusion .", "right lung", "a"])
    assert found == pytest.approx([1, 0, 0])
    half = published.bleu_2(["a b c"], ["a b d"])[0]
    assert half == pytest.approx((2 / 3 * 1 / 2) ** 0.5)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "ran"),))

    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(rg.ReportError, match="mkdir"):
        published.RadCliQ(tmp_path / "bad.pkl")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "text.pkl").write_text("text")
    with pytest.raises(rg.ReportError, match="composite metric"):
        published.RadCliQ(tmp_path / "text.pkl")


PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "left",
    "eff",
    "##usion",
    "no",
    "edema",
    ".",
    ",",
    "lung",
    "none",
]
SPANS = 3  # words of the widest


def scorer(weights: dict[str, Any], name: str, start: int, out: int, hidden: int = 12) -> None:
    import torch

    for i, size in enumerate((start, hidden)):
        weights[f"{name}0._module._linear_layers.{i}.weight"] = torch.randn(hidden, size) / size**0.5
        weights[f"{name}0._module._linear_layers.{i}.bias"] = torch.randn(hidden) / 10
    weights[f"{name}1._module.weight"] = torch.randn(out, hidden)
    weights[f"{name}1._module.bias"] = torch.randn(out)


@pytest.fixture
def radgraph(tmp_path: Path) -> Path:
    """A folder with the layout of the published archives: DyGIE++'s names, AllenNLP's vocabulary."""
    torch = pytest.importorskip("torch", reason="torch is absent; pip install 'raddino-reportgen[model]'")
    transformers = pytest.importorskip("transformers", reason="transformers is absent")
    torch.manual_seed(1)
    folder = tmp_path / "radgraph"
    (folder / "vocabulary").mkdir(parents=True)
    (folder / "vocabulary" / "radgraph__ner_labels.txt").write_text("\nOBS-DP\nANAT-DP\n")
    (folder / "vocabulary" / "radgraph__relation_labels.txt").write_text("modify\nlocated_at\n")
    modules = {"relation": {"spans_per_word": 0.5}, "coref": {"coref_prop": 0}}
    (folder / "config.json").write_text(json.dumps({"model": {"modules": modules}}))
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    config = transformers.BertConfig(
        vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=12,
    )  # fmt: skip
    start = "_embedder.token_embedder_bert._matched_embedder.transformer_model."
    weights = {start + k: v for k, v in transformers.BertModel(config).state_dict().items()}
    weights["_endpoint_span_extractor._span_width_embedding.weight"] = torch.randn(SPANS, 4)
    scorer(weights, "_ner._ner_scorers.radgraph__ner_labels.", 36, 2)
    scorer(weights, "_relation._mention_pruners.radgraph__relation_labels._scorer.", 36, 1)
    pair: dict[str, Any] = {}
    scorer(pair, "", 108, 2)
    name = "_relation._relation_{}.radgraph__relation_labels."
    weights |= {name.format("feedforwards") + k.removeprefix("0._module."): v for k, v in pair.items() if k[0] == "0"}
    weights |= {name.format("scorers") + k.removeprefix("1._module."): v for k, v in pair.items() if k[0] == "1"}
    weights["_coref._distance_embedding.weight"] = torch.randn(2, 2)
    torch.save(weights, folder / "weights.th")
    return folder


def test_radgraph_names_spans_and_what_holds_between_them(radgraph: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel

    found = published.RadGraph(radgraph, radgraph / "vocab.txt")(["Left effusion, no edema."])[0]
    assert found["text"] == "Left effusion , no edema ."
    saved = torch.load(radgraph / "weights.th", weights_only=True)
    bert = BertModel(BertConfig(vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
                                intermediate_size=8, max_position_embeddings=12)).eval()  # fmt: skip
    bert.load_state_dict({k.split("transformer_model.")[1]: v for k, v in saved.items() if "transformer_model" in k})
    with torch.inference_mode():
        seen = bert(torch.tensor([[2, 5, 6, 7, 11, 8, 9, 10, 3]])).last_hidden_state[0, 1:-1]
    words = [seen[0], (seen[1] + seen[2]) / 2, *seen[3:]]  # effusion is two pieces

    def through(name: str, last: str, x: Any) -> Any:
        for i in range(2):
            x = (saved[f"{name}{i}.weight"] @ x + saved[f"{name}{i}.bias"]).relu()
        return saved[f"{last}weight"] @ x + saved[f"{last}bias"]

    spans = [(a, b) for a in range(6) for b in range(a, min(a + SPANS, 6))]
    widths = saved["_endpoint_span_extractor._span_width_embedding.weight"]
    vectors = {(a, b): torch.cat([words[a], words[b], widths[b - a]]) for a, b in spans}
    ner, prune = (
        "_ner._ner_scorers.radgraph__ner_labels.",
        "_relation._mention_pruners.radgraph__relation_labels._scorer.",
    )
    entities = {}
    for span in spans:
        label = int(
            torch.cat(
                [torch.zeros(1), through(f"{ner}0._module._linear_layers.", f"{ner}1._module.", vectors[span])]
            ).argmax()
        )
        if label:
            entities[span] = ("OBS-DP", "ANAT-DP")[label - 1]
    likely = {s: float(through(f"{prune}0._module._linear_layers.", f"{prune}1._module.", vectors[s])) for s in spans}
    tops = sorted(sorted(spans, key=lambda s: -likely[s])[:3])  # half of six words
    relations = set()
    for a in tops:
        for b in tops:
            x = torch.cat([vectors[a], vectors[b], vectors[a] * vectors[b]])
            name = "_relation._relation_{}.radgraph__relation_labels."
            scores = (
                through(name.format("feedforwards") + "_linear_layers.", name.format("scorers"), x)
                + likely[a]
                + likely[b]
            )
            label = int(torch.cat([torch.zeros(1), scores]).argmax())
            if label and a in entities and b in entities:
                relations.add((a, ("modify", "located_at")[label - 1], b))
    mine = {(e["start_ix"], e["end_ix"]): e["label"] for e in found["entities"].values()}
    assert mine == entities
    place = {number: (e["start_ix"], e["end_ix"]) for number, e in found["entities"].items()}
    assert {(place[n], kind, place[o]) for n, e in found["entities"].items() for kind, o in e["relations"]} == relations
    assert entities
    assert relations
    assert {e["tokens"] for e in found["entities"].values()} <= {
        " ".join(found["text"].split()[a : b + 1]) for a, b in spans
    }


def test_a_report_longer_than_berts_positions_is_read_in_parts(radgraph: Path) -> None:
    model = published.RadGraph(radgraph, radgraph / "vocab.txt")
    graphs = model(["no edema " * 20, ""])
    assert max(e["end_ix"] for e in graphs[0]["entities"].values()) > 12
    assert graphs[1]["text"] == "None"


def test_later_radgraphs_split_words_otherwise() -> None:
    pytest.importorskip("torch", reason="torch is absent; pip install 'raddino-reportgen[model]'")
    from raddino_reportgen.published._radgraph_model import split_words

    text = "A 5.2-cm (large) nodule, 50%."
    assert split_words(text, "radgraph") == ["A", "5", ".", "2-cm", "(", "large", ")", "nodule", ",", "50%", "."]
    assert " ".join(split_words(text, "radgraph-xl")) == "A 5 . 2 - cm ( large ) nodule , 50 % ."


def test_a_radgraph_of_another_kind_is_named(radgraph: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n".join(PIECES[:-1]) + "\n")
    with pytest.raises(rg.ReportError, match="vocabulary of 14"):
        published.RadGraph(radgraph, tmp_path / "words.txt")
    with pytest.raises(rg.ReportError, match=r"vocab\.txt"):
        published.RadGraph(radgraph, tmp_path / "absent.txt")
    config = json.loads((radgraph / "config.json").read_text())
    config["model"]["modules"]["coref"]["coref_prop"] = 2
    (radgraph / "config.json").write_text(json.dumps(config))
    with pytest.raises(rg.ReportError, match="coref_prop 2"):
        published.RadGraph(radgraph, radgraph / "vocab.txt")
    (radgraph / "vocabulary" / "radgraph__ner_labels.txt").unlink()
    with pytest.raises(rg.ReportError, match="ner_labels"):
        published.RadGraph(radgraph, radgraph / "vocab.txt")
    (radgraph / "weights.th").write_text("none")
    with pytest.raises(rg.ReportError, match=r"weights\.th"):
        published.RadGraph(radgraph, radgraph / "vocab.txt")


@pytest.fixture
def roberta(tmp_path: Path) -> Path:
    """A folder of transformers in the layout of distilroberta-base."""
    torch = pytest.importorskip("torch", reason="torch is absent; pip install 'raddino-reportgen[model]'")
    transformers = pytest.importorskip("transformers", reason="transformers is absent")
    pytest.importorskip("bert_score", reason="bert-score is absent; pip install 'raddino-reportgen[bertscore]'")
    from raddino_reportgen.model import train_tokenizer

    torch.manual_seed(0)
    tokenizer = train_tokenizer(TEXTS, 300)
    tokenizer.cls_token, tokenizer.sep_token = "<s>", "</s>"
    tokenizer.save_pretrained(tmp_path / "bertscore")
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=6, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=514,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(tmp_path / "bertscore")
    return tmp_path / "bertscore"


def test_bertscore_is_rescaled_unless_said_otherwise(roberta: Path) -> None:
    said, truth = ["Left effusion.", "", "No edema. " * 300], ["Left effusion.", "No edema.", "Left effusion."]
    plain = published.BertScore(roberta, rescale=False)(said, truth)
    rescaled = published.BertScore(roberta)(said, truth)
    assert plain[0] == pytest.approx(1, abs=1e-5)
    assert plain[1] == rescaled[1] == 0
    assert plain[2] < 1
    baseline = (plain[2] - rescaled[2]) / (1 - rescaled[2])  # of distilroberta-base's fifth layer
    assert baseline == pytest.approx(0.7, abs=0.2)
    with pytest.raises(rg.ReportError, match="mine"):
        published.BertScore(roberta, name="mine")
    with pytest.raises(rg.ReportError, match="found none"):
        published.BertScore(roberta.parent / "absent")


def test_what_a_folder_holds_is_computed_with_intervals(
    radgraph: Path, roberta: Path, radcliq: Path, chexbert: tuple[Path, Path]
) -> None:
    folder = roberta.parent
    (folder / "chexbert").mkdir()
    for path in chexbert:
        path.rename(folder / "chexbert" / path.name)
    metrics = published.Published(folder)
    said = ["Left effusion.", "No edema.", "No lung."]
    found = rg.evaluate(said, TEXTS, per_pair=metrics.per_pair(said, TEXTS), labeller=metrics.labeller)
    for name in ("rg_e", "rg_er", "rg_bar_er", "bertscore", "chexbert_similarity", "radcliq_v0", "radcliq_v1"):
        assert found[name].low <= found[name].value <= found[name].high, name
    assert found["rg_e"].value > 0
    (folder / "bertscore").rename(folder / "other")
    with pytest.raises(rg.ReportError, match="all of which RadCliQ needs"):
        published.Published(folder)
    (folder / "radcliq").rename(folder / "another")
    assert set(published.Published(folder).per_pair(said, TEXTS)) == {
        "rg_e", "rg_er", "rg_bar_er", "chexbert_similarity",
    }  # fmt: skip
    with pytest.raises(rg.ReportError, match="found none"):
        published.Published(folder / "other")
