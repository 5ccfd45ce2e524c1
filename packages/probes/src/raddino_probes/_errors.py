"""The one exception a user of raddino_probes is meant to see."""


class ProbeError(ValueError):
    """Something the caller can mend: the message says what was expected, what came and what to do."""
