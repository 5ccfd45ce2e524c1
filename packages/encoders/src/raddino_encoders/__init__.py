"""One interface to any encoder: `load` a spec, `embed` images, get class and patch tokens."""

from importlib.metadata import version as _version

from raddino_encoders._constants import PUBLISHED
from raddino_encoders._encoder import Encoder
from raddino_encoders._errors import EncoderError
from raddino_encoders._geometry import Fit
from raddino_encoders._load import KINDS, RANDOM_SEED, load
from raddino_encoders._preprocess import Preprocessing
from raddino_encoders._read import Picture
from raddino_encoders._tokens import Tokens

__version__ = _version("raddino-encoders")

__all__ = [
    "KINDS",
    "PUBLISHED",
    "RANDOM_SEED",
    "Encoder",
    "EncoderError",
    "Fit",
    "Picture",
    "Preprocessing",
    "Tokens",
    "load",
]
