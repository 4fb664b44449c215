"""The exception for input that cannot be used."""

from collections.abc import Sequence

from sdm_ray.redaction import redacted


class InputError(Exception):
    """Something given to sdm_ray cannot be used.

    The message is one line that names the file, the key or row, what was found and what was expected.
    The command line prints it without a traceback and exits with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(
            " ".join(redacted(str(message)).split("\n"))
        )  # what it quotes of others may have several lines


def find_input_error(error: BaseException | None) -> InputError | None:
    """The InputError inside an error that Ray may have wrapped on its way from a worker; None where there is none."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if current is None or current in seen:
            continue
        seen.append(current)
        if type(current) is InputError:
            return current
        waiting += [current.__cause__, current.__context__, getattr(current, "cause", None)]
        waiting += list(getattr(current, "worker_failures", {}).values())
    return None


def few(names: Sequence[str], most: int = 6) -> str:
    """The first of some names, for a message."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
