"""The one exception that a user of this package can cause."""


class SegError(ValueError):
    """Says what was expected, what came and what to do."""
