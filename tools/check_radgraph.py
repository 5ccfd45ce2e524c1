"""RadGraph's inference against the package radgraph, which it replaces: the same graphs from the same random weights.

python -m tools.check_radgraph     # in an environment that also has radgraph, dotmap, jsonpickle, appdirs and h5py

The package is written for transformers 4; what it calls and 5 lacks is put back here.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from raddino_reportgen.published import RadGraph
from transformers import BertConfig, BertModel, BertTokenizerFast, PreTrainedTokenizerBase

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "left", "eff", "##usion", "no", "ed", "##ema", ".", ",", "lung",
    "small", "right", "is", "there", "pleural", "heart", "normal", "a", "b", "1", "2", "50",
]  # fmt: skip
TEXTS = (
    "There is a small left pleural effusion.",
    "No edema, no effusion. Heart is normal (left lung 50%).",
    "Normal",
    "",
    " ".join(["left effusion. No edema, small right lung"] * 80),
)


def main() -> None:
    """Compare both layouts of published archives; exit with 1 where a graph differs."""
    warnings.simplefilter("ignore")
    PreTrainedTokenizerBase.encode_plus = lambda self, *a, **k: self(*a, **k)
    PreTrainedTokenizerBase.build_inputs_with_special_tokens = lambda self, ids: [
        self.cls_token_id, *ids, self.sep_token_id,
    ]  # fmt: skip
    differ = 0
    for name in ("radgraph", "radgraph-xl"):
        with tempfile.TemporaryDirectory() as place:
            theirs = _peer(name, Path(place))
            ours = RadGraph(Path(place) / name, Path(place) / "bert" / "vocab.txt")(TEXTS)
        for i, graph in enumerate(ours):
            same = (graph["text"], graph["entities"]) == (theirs[str(i)]["text"], theirs[str(i)]["entities"])
            relations = sum(len(entity["relations"]) for entity in graph["entities"].values())
            print(f"{name}: {len(graph['entities'])} entities, {relations} relations: {'equal' if same else 'DIFFER'}")
            differ += not same
    sys.exit(bool(differ))


def _peer(name: str, root: Path) -> dict[str, Any]:
    """Write a folder with weights that the package itself made, and its graphs of the texts."""
    try:
        import radgraph.radgraph as peer
    except ImportError as error:
        sys.exit(f"error: expected the package radgraph and what it needs beside ours: {error}")
    bert, folder = root / "bert", root / name
    (folder / "vocabulary").mkdir(parents=True)
    bert.mkdir()
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 48}
    BertModel(BertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(bert)
    (bert / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizerFast(vocab=str(bert / "vocab.txt")).save_pretrained(bert)
    (folder / "vocabulary" / "non_padded_namespaces.txt").write_text("*labels\n*tags\n")
    (folder / "vocabulary" / f"{name}__ner_labels.txt").write_text("\nOBS-DP\nANAT-DP\nOBS-DA\nOBS-U\n")
    (folder / "vocabulary" / f"{name}__relation_labels.txt").write_text("modify\nlocated_at\nsuggestive_of\n")
    (folder / "config.json").write_text(json.dumps(_config(str(bert))))
    # It makes its network and then reads weights, which are to be those it has just made.
    with patch.object(torch, "load"), patch.object(peer.dygie.DyGIE, "load_state_dict"):
        model = peer.RadGraph(model_type=name, model_cache_dir=str(root), cuda=-1)
    torch.save(model.model.state_dict(), folder / "weights.th")
    return dict(model(list(TEXTS)))


def _config(bert: str) -> dict[str, Any]:
    words = {"bert": {"model_name": bert, "max_length": 512}}
    spans = {"spans_per_word": 0.3, "max_antecedents": 100, "coref_prop": 0}
    events = {"trigger_spans_per_word": 0.3, "argument_spans_per_word": 0.8}
    model = {
        "type": "dygie", "embedder": {"token_embedders": words}, "initializer": {}, "module_initializer": {},
        "feature_size": 20, "max_span_width": 4, "target_task": "relation",
        "feedforward_params": {"num_layers": 2, "hidden_dims": 30, "dropout": 0.4},
        "loss_weights": {"ner": 0.2, "relation": 1.0, "coref": 0.0, "events": 0.0},
        "modules": {"coref": spans, "ner": {}, "relation": {"spans_per_word": 0.5}, "events": events},
    }  # fmt: skip
    return {"dataset_reader": {"max_span_width": 4, "token_indexers": words}, "vocabulary": {}, "model": model}


if __name__ == "__main__":
    main()
