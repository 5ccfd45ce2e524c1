"""The command `raddino`: the packages wired together. Import nothing heavy here; `--help` must stay quick."""


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version  # takes a tenth of the time that --help may

    return version("raddino-cli")
