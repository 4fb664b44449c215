"""What a person sees while a job runs: a bar on a terminal or in a notebook, sparse lines in a log."""

import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import IO, TYPE_CHECKING, Any, TypeVar

from sdm_ray.redaction import redacted

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")

_TERMINAL_INTERVAL_S = 0.2
_LOG_INTERVAL_S = 10.0
_FORMAT = "  {desc}: {n_fmt}/{total_fmt}, {elapsed} elapsed, about {remaining} left"


def say(line: str) -> None:
    """Print one line at once, above the bar of a terminal; passwords in addresses are hidden."""
    line = redacted(line)
    if "tqdm" not in sys.modules:  # no bar was ever shown
        print(line, flush=True)
        return
    with _bars().external_write_mode():
        print(line, flush=True)


class Meter:
    """How far a long loop is, on standard error, with the time left.

    On a terminal the line is rewritten about five times a second; elsewhere a line is written at most every ten
    seconds, so that logs stay short.
    """

    def __init__(self, total: int, label: str) -> None:
        terminal = sys.stderr.isatty()
        interval = _TERMINAL_INTERVAL_S if terminal else _LOG_INTERVAL_S
        self._started = False
        self._bar: tqdm[Any] = _bars()(
            desc=label,
            total=total,
            file=sys.stderr if terminal else _Lines(sys.stderr),
            bar_format=_FORMAT,
            mininterval=interval,
            delay=interval,
            miniters=1,
            leave=False,
            position=0,
        )

    @property
    def label(self) -> str:
        """What is counted."""
        return str(self._bar.desc)

    @label.setter
    def label(self, label: str) -> None:
        self._bar.desc = label

    def at(self, count: int) -> None:
        """Show that `count` of the total are done."""
        if not self._started:  # a resumed job does not begin at 0: the time left is reckoned from here
            self._started = True
            self._bar.initial = self._bar.n = self._bar.last_print_n = count - 1
        self._bar.update(count - self._bar.n)

    def clear(self) -> None:
        """Wipe the line from a terminal; the next count shows it again."""
        self._bar.clear()

    def close(self) -> None:
        """Wipe the line for good."""
        self._bar.close()


def track(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Pass items on and show how far they are, with the time left."""
    meter = Meter(total, label)
    for count, item in enumerate(items, 1):
        yield item
        meter.at(count)
    meter.close()


class _Lines:
    """Writes each state of a bar as a line of its own, where a carriage return would not go back."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        state = text.strip("\r").rstrip()
        if state:
            self._stream.write(f"{state}\n")

    def flush(self) -> None:
        self._stream.flush()


@cache
def _bars() -> "type[tqdm[Any]]":
    """The bar of this terminal or notebook; imported late, as it is not light."""
    from tqdm import auto

    bars: type[tqdm[Any]] = auto.tqdm
    return bars
