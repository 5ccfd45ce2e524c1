"""The one exception a user of ssl_core is meant to see."""


class SslError(ValueError):
    """Something the caller can mend: the message says what was expected, what came and what to do."""
