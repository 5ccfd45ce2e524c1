"""A language model that reads an encoder's patch tokens and writes the findings; needs the extra `model`."""

from raddino_reportgen.model._agreement import agree
from raddino_reportgen.model._data import Examples
from raddino_reportgen.model._language import small_language_model, train_tokenizer
from raddino_reportgen.model._projector import Mlp, Resampler
from raddino_reportgen.model._recipe import Recipe, load_recipe, recipes
from raddino_reportgen.model._reporter import Decoding, Reporter
from raddino_reportgen.model._train import perplexity, train

__all__ = [
    "Decoding",
    "Examples",
    "Mlp",
    "Recipe",
    "Reporter",
    "Resampler",
    "agree",
    "load_recipe",
    "perplexity",
    "recipes",
    "small_language_model",
    "train",
    "train_tokenizer",
]
