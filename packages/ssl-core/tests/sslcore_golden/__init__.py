"""Every number of a folder of golden vectors beside ours: what the tests and tools/check_golden.py both walk.

Such a folder holds what the reference implementation gave for stated inputs; sizes and settings are read from it. Its
README states the bounds, which are repeated here.
"""

from sslcore_golden._comparison import Comparison
from sslcore_golden._features import positions
from sslcore_golden._functions import centring, groups, koleo, schedules, sinkhorn
from sslcore_golden._masks import masking
from sslcore_golden._steps import steps, training

__all__ = [
    "Comparison",
    "centring",
    "groups",
    "koleo",
    "masking",
    "positions",
    "schedules",
    "sinkhorn",
    "steps",
    "training",
]
