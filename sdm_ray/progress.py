"""What a person sees while a job runs: lines on a terminal, sparse lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def say(line: str) -> None:
    """Print one line at once."""
    print(line, flush=True)


def track(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Pass items on and show how far they are, with the time left.

    On a terminal the line is rewritten about five times a second; elsewhere a line is printed at most every ten
    seconds, so that logs stay short.
    """
    terminal = sys.stdout.isatty()
    interval = 0.2 if terminal else 10.0
    start = shown = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown >= interval or (count == total and terminal):
            shown = now
            left = (now - start) / count * max(total - count, 0)
            text = f"  {label}: {count}/{total}, about {left:.0f} s left"
            print(f"\r{text:<78}" if terminal else text, end="" if terminal else "\n", flush=True)
    if terminal:
        print(f"\r{'':<78}\r", end="", flush=True)
