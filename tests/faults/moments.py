"""Random moments over the whole time of a job, by what it has done so far: a busy machine changes no odds.

Jobs of tiles are followed by the records or the files of their tiles, trainings by the lines of their epochs or trials,
all others by the seconds that an untouched run took.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from faults.running import Running
from upath import UPath

TILES = ("map", "embed", "indicators", "change")
LINES = {"pretrain": r": step \d+: ", "finetune": r": step \d+: ", "tune": r"  trial \d+/\d+: "}
_LOOK_S = 0.1


@dataclass(frozen=True)
class Untouched:
    """What a job took that nothing happened to.

    Attributes:
        seconds: from its start to its end.
        parts: tiles, or lines of epochs or trials; 0 for a job that has neither.
    """

    seconds: float
    parts: int

    @classmethod
    def of(cls, name: str, seconds: float, job: Running, output: UPath) -> "Untouched":
        """Of a run that has ended."""
        return cls(seconds, 0 if (done := parts_done(name, job, output)) is None else done())


def parts_done(name: str, job: Running, output: UPath) -> Callable[[], int] | None:
    """Counts the parts that a job has done by now; None for one that does not show it."""
    if name in TILES:
        return lambda: tiles_written(output)
    return (lambda: job.count(LINES[name])) if name in LINES else None


def tiles_written(output: UPath) -> int:
    """Tiles in the ledger; where there is none the files of chunks, which are no drafts."""
    output.fs.invalidate_cache()
    records = output / "ledger"
    if records.exists():
        return sum(name.endswith(".json") for name in output.fs.find(records.path))
    if not output.exists():
        return 0
    return sum(name.rpartition("/")[2].isdigit() and "/c/" in name for name in output.fs.find(output.path))


def wait(name: str, job: Running, output: UPath, untouched: Untouched, rng: random.Random) -> str:
    """Wait until a moment of a job that is drawn anew at each call, or until its end; returns the moment.

    Of `n` tiles the moment is when `k` of them are done, with `k` from 0 to `n`. Of `n` epochs it is `k` epochs, with
    `k` below `n`, and a share of the time that an epoch takes.
    """
    begun, done = time.monotonic(), parts_done(name, job, output)
    if done is None:
        share = rng.random()
        _until(job, lambda: time.monotonic() - begun >= share * untouched.seconds)
        return f"at {share:.0%} of the seconds"
    wanted = rng.randint(0, untouched.parts - (name in LINES))
    _until(job, lambda: done() >= min(1, wanted))
    first = time.monotonic()
    _until(job, lambda: done() >= wanted)
    if name in LINES:
        now = time.monotonic()
        pace = (now - first) / (wanted - 1) if wanted > 1 else untouched.seconds / untouched.parts
        end = now + rng.random() * pace
        _until(job, lambda: time.monotonic() >= end)
    return f"at {done()} of {untouched.parts}, drawn {wanted}"


def _until(job: Running, reached: Callable[[], bool]) -> None:
    while not job.ended and not reached():
        time.sleep(_LOOK_S)
