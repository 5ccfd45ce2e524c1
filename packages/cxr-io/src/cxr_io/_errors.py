"""The one exception that a user of this package can cause."""


class CxrError(ValueError):
    """Says what was expected, what came and what to do; `code` names the kind for `rejected.jsonl`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.code, str(self))
