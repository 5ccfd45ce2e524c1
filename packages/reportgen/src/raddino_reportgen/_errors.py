"""The one exception that a user of this package can cause."""


class ReportError(ValueError):
    """Says what was expected, what came and what to do."""
