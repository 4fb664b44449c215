"""Places of artefacts as ranks and pipeline tasks, which run in other folders, find them."""

from upath import UPath


def is_local(path: UPath) -> bool:
    """Whether a path is one of this machine's file system."""
    return path.protocol in ("", "file", "local")


def absolute(path: UPath) -> str:
    """A path that does not depend on the working folder."""
    return str(path.absolute()) if is_local(path) else str(path)
