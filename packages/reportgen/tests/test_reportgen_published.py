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
        "1": {"tokens": "Effusion", "label": "OBS-DP", "start_ix": 0, "end_ix": 0, "relations": []}}},
}  # fmt: skip


def test_radgraph_f1_is_of_entities_and_relations(tmp_path: Path) -> None:
    (tmp_path / "graphs.json").write_text(json.dumps(GRAPHS))
    left, right, bare = published.load_graphs(tmp_path / "graphs.json")
    want = {"RG_E": (1, 0.5, 2 / 3), "RG_ER": (1, 0.5, 0), "RG_bar_ER": (1, 0, 0)}
    for reward, values in want.items():
        found = published.radgraph_f1([left, left, left], [left, right, bare], reward)  # type: ignore[arg-type]
        assert found == pytest.approx(values), reward
    assert published.radgraph_f1([{"entities": {}}], [left])[0] == 0
    with pytest.raises(rg.ReportError, match="RG_bar_ER"):
        published.radgraph_f1([left], [left], "RG")  # type: ignore[arg-type]
    (tmp_path / "bad.json").write_text('{"0": {"text": "a"}}')
    with pytest.raises(rg.ReportError, match="entities"):
        published.load_graphs(tmp_path / "bad.json")


def named(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> Any:
    """An object of a class that pickle finds as `module.name`."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        package = ".".join(parts[:end])
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    kind = type(name, (), {"__module__": module})
    monkeypatch.setattr(sys.modules[module], name, kind, raising=False)
    return kind()


def test_radcliq_is_read_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composite = named(monkeypatch, "CXRMetric.run_eval", "CompositeMetric")
    composite.scaler = named(monkeypatch, "sklearn.preprocessing._data", "StandardScaler")
    composite.scaler.mean_, composite.scaler.scale_ = np.array([0.2, 0.5, 0.4, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    composite.coefs = np.array([-0.4, -0.3, -0.2, -0.1, 1.5])
    (tmp_path / "composite_metric_model.pkl").write_bytes(pickle.dumps(composite))
    monkeypatch.undo()
    model = published.RadCliQ(tmp_path / "composite_metric_model.pkl")
    table = np.array([[0.2, 0.5, 0.4, 0.1], [0.3, 0.5, 0.4, 0.5]])
    np.testing.assert_allclose(model(*table.T), [1.5, 1.0])


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
