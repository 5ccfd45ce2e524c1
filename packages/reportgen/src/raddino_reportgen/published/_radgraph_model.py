"""RadGraph's inference (Jain et al. 2021): the span model DyGIE++ (Wadden et al. 2019) from its published folder.

Every span of up to so many words has a vector: of its first and last word and of its width. One head names it, another
keeps the likelier spans, and a third names what holds between each two of these.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from raddino_reportgen._errors import ReportError
from raddino_reportgen.published._bert import build_bert
from raddino_reportgen.published._radgraph import Graph

_BERT = "_embedder.token_embedder_bert._matched_embedder.transformer_model."
_WIDTHS = "_endpoint_span_extractor._span_width_embedding.weight"


class RadGraph:
    """Graphs of texts, from the folder that `radgraph.tar.gz` or `radgraph-xl.tar.gz` unpacks to.

    It holds `config.json`, `weights.th` and `vocabulary/<name>__ner_labels.txt` and `..._relation_labels.txt`;
    `words` is the `vocab.txt` of the BERT that `config.json` names. A model that passes coreference on, or whose
    language model is no BERT (`modern-radgraph-xl`), is a `ReportError`.
    """

    def __init__(self, folder: str | Path, words: str | Path, *, device: str = "cpu") -> None:
        from transformers import BertTokenizerFast

        place = Path(folder)
        try:
            model = json.loads((place / "config.json").read_bytes())["model"]
            self._keep = float(model["modules"]["relation"]["spans_per_word"])
            coreference = model["modules"].get("coref", {}).get("coref_prop", 0)
            weights = torch.load(place / "weights.th", map_location=device, weights_only=True)
            ner, relation = (_labels(place, kind) for kind in ("ner", "relation"))
            self._name, (self._entities, self._relations) = ner[0], (ner[1], relation[1])
            self._bert = build_bert(_inside(weights, _BERT)).to(device)
            self._widths = weights[_WIDTHS]
            self._score_entity = _scorer(weights, f"_ner._ner_scorers.{ner[0]}__ner_labels.")
            pruner, related = (f"_relation._{part}.{relation[0]}__relation_labels." for part in _RELATION_PARTS)
            self._score_span = _scorer(weights, pruner + "_scorer.")
            last = f"_relation._relation_scorers.{relation[0]}__relation_labels."
            self._score_pair = nn.Sequential(_feed_forward(_inside(weights, related)), _linear(_inside(weights, last)))
            for part in (self._score_entity, self._score_span, self._score_pair):
                part.to(device).eval()
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
            raise ReportError(
                f"expected RadGraph's folder with config.json, weights.th of a BERT and vocabulary/ at {place}: "
                f"{error!r}"
            ) from error
        if coreference:
            raise ReportError(f"expected a RadGraph without coreference in {place}, got coref_prop {coreference}")
        if not Path(words).is_file():
            raise ReportError(f"expected the vocab.txt of RadGraph's BERT at {words}, found none")
        self._tokenizer = BertTokenizerFast(vocab=str(words), do_lower_case=True)
        if len(self._tokenizer) != self._bert.config.vocab_size:
            raise ReportError(f"expected a vocabulary of {self._bert.config.vocab_size} words, as RadGraph's BERT has; "
                              f"{words} has {len(self._tokenizer)}")  # fmt: skip

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[Graph]:
        """The graph of each text: `text`, its words, and `entities`, as `load_graphs` reads them."""
        return [self._graph(split_words(text or "None", self._name)) for text in texts]

    def _graph(self, words: list[str]) -> Graph:
        widest = len(self._widths)
        spans = [(a, b) for a in range(len(words)) for b in range(a, min(a + widest, len(words)))]
        starts, ends = torch.tensor(spans, device=self._widths.device).T
        known = self._embed(words)
        vectors = torch.cat([known[starts], known[ends], self._widths[ends - starts]], dim=1)
        found = _with_none(self._score_entity(vectors)).argmax(dim=1).tolist()
        named = [(span, self._entities[label]) for span, label in zip(spans, found, strict=True) if label]
        number = {span: str(i) for i, (span, _) in enumerate(named, 1)}
        entities = {
            number[span]: {
                "tokens": " ".join(words[span[0] : span[1] + 1]), "label": label,
                "start_ix": span[0], "end_ix": span[1], "relations": [],
            }
            for span, label in named
        }  # fmt: skip
        for one, kind, other in self._relate(vectors, spans, len(words)):
            if one in number and other in number:
                entities[number[one]]["relations"].append([kind, number[other]])
        return {"text": " ".join(words), "entities": entities}

    def _relate(
        self, vectors: Tensor, spans: list[tuple[int, int]], words: int
    ) -> list[tuple[tuple[int, int], str, tuple[int, int]]]:
        """What holds between each two of the likelier spans."""
        scores = self._score_span(vectors)[:, 0]
        kept = scores.topk(min(len(spans), int(torch.tensor(words * self._keep).ceil()))).indices.sort().values
        tops, likely = vectors[kept], scores[kept]
        found = []
        for i, one in enumerate(kept.tolist()):  # a row at a time: all pairs of a long report would fill the memory
            pairs = torch.cat([tops[i].expand_as(tops), tops, tops[i] * tops], dim=1)
            row = _with_none(self._score_pair(pairs) + (likely[i] + likely)[:, None]).argmax(dim=1).tolist()
            found += [
                (spans[one], self._relations[label - 1], spans[other])
                for label, other in zip(row, kept.tolist(), strict=True)
                if label
            ]
        return found

    def _embed(self, words: list[str]) -> Tensor:
        """A vector of each word (W, D): the mean of its pieces, which BERT reads as many at a time as it can."""
        pieces = [self._tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
        ids = [piece for group in pieces for piece in group]
        room = self._bert.config.max_position_embeddings - 2
        first, last = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        parts = [
            self._bert(torch.tensor([[first, *ids[at : at + room], last]], device=self._widths.device))
            .last_hidden_state[0, 1:-1]
            for at in range(0, len(ids), room)
        ]  # fmt: skip
        groups = torch.split(torch.cat(parts), [len(group) for group in pieces])
        return torch.stack(
            [group.mean(dim=0) if len(group) else parts[0].new_zeros(parts[0].shape[1]) for group in groups]
        )


_RELATION_PARTS = ("mention_pruners", "relation_feedforwards")
_XL_SPLITS = ((").", ") ."), ("%.", "% ."), (".'", ". '"), ("%,", "% ,"), ("%)", "% )"))


def split_words(text: str, name: str) -> list[str]:
    """The words of a report as the model of this name was taught them: `radgraph`, or any later one."""
    if name == "radgraph":
        return re.sub(r"([/,:.!?()])", r" \1 ", text).split()
    joined = " ".join(re.findall(r"\w+|[^\w\s]+", text))
    for together, apart in _XL_SPLITS:
        joined = joined.replace(together, apart)
    return joined.split()


def _labels(place: Path, kind: str) -> tuple[str, list[str]]:
    """Name of the model and its labels; an entity's first one is that of none, an empty line."""
    path = next(iter(sorted((place / "vocabulary").glob(f"*__{kind}_labels.txt"))), None)
    if path is None:
        raise KeyError(f"vocabulary/*__{kind}_labels.txt")
    return path.name.partition("__")[0], path.read_text("utf-8").removesuffix("\n").split("\n")


def _inside(weights: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}


def _scorer(weights: Mapping[str, Tensor], start: str) -> nn.Sequential:
    """A network and a last layer, which AllenNLP calls `0._module` and `1._module`."""
    return nn.Sequential(
        _feed_forward(_inside(weights, start + "0._module.")), _linear(_inside(weights, start + "1._module."))
    )


def _feed_forward(weights: Mapping[str, Tensor]) -> nn.Sequential:
    layers = len([name for name in weights if name.endswith(".weight")])
    parts = (_linear(_inside(weights, f"_linear_layers.{i}.")) for i in range(layers))
    return nn.Sequential(*(part for linear in parts for part in (linear, nn.ReLU())))


def _linear(weights: Mapping[str, Tensor]) -> nn.Linear:
    weight = weights["weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict(weights)
    return layer


def _with_none(scores: Tensor) -> Tensor:
    """The score of no label is 0."""
    return torch.cat([scores.new_zeros(len(scores), 1), scores], dim=1)
