"""The exception for input that cannot be used."""

from collections.abc import Iterator, Sequence

from sdm_ray.redaction import redacted

_STORE_CLIENTS = {"botocore", "aiobotocore", "aiohttp", "gcsfs", "google"}  # packages whose errors are of a store


class InputError(Exception):
    """Something given to sdm_ray cannot be used.

    The message is one line that names the file, the key or row, what was found and what was expected.
    The command line prints it without a traceback and exits with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(str(message)))


def find_input_error(error: BaseException | None) -> InputError | None:
    """The InputError inside an error that Ray may have wrapped on its way from a worker; None where there is none."""
    return next((each for each in _inside(error) if type(each) is InputError), None)


def store_error(error: BaseException | None) -> str | None:
    """One line about a store at a URL that cannot be reached or may not be used; None where that is not the cause."""
    for each in _inside(error):
        if isinstance(each, PermissionError) or type(each).__module__.partition(".")[0] in _STORE_CLIENTS:
            told = _one_line(str(each) or type(each).__name__)
            return f"a store cannot be used ({told}); what is finished is kept, run the job again for the rest"
    return None


def _one_line(message: str) -> str:
    """A message without secrets; what it quotes of others may have several lines."""
    return " ".join(redacted(message).split("\n"))


def _inside(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was raised for or that Ray wrapped in it."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if current is None or current in seen:
            continue
        seen.append(current)
        yield current
        waiting += [current.__cause__, current.__context__, getattr(current, "cause", None)]
        waiting += list(getattr(current, "worker_failures", {}).values())


def few(names: Sequence[str], most: int = 6) -> str:
    """The first of some names, for a message."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
