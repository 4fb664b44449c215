"""Attempts at parts: at the end of the work, parts that are late begin a second time, and the first to end counts.

A node whose disk or network hangs, or that is slow for another reason, would otherwise hold up the whole work. The rule
is that of backup tasks (Dean and Ghemawat, MapReduce, 2004): nothing else waits, there is room, and a part has been
under way for much longer than parts take.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence

from sdm_ray.ray_workers import Crew, Ended, Named

_log = logging.getLogger(__name__)
_LATE = 2.0  # times as long as three of four parts took at most
_LATE_S = 5.0  # before which no part is late
_AGAIN = 2  # times that a part begins while it is under way: where the second attempt fails, once more


def late_after(seconds: Sequence[float]) -> float:
    """Seconds after which a part is late, by those that others took; never where none has ended."""
    if not seconds:
        return float("inf")
    return max(_LATE_S, _LATE * sorted(seconds)[(3 * len(seconds)) // 4])


class Attempts:
    """Which parts are under way, how often, and for how long.

    Args:
        crew: does the parts.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._parts: dict[str, Named] = {}
        self._count: Counter[str] = Counter()  # attempts under way
        self._again: Counter[str] = Counter()  # times that a part began while it was under way
        self._begun: dict[str, float] = {}  # when a part was certainly at work
        self._seconds: list[float] = []

    @property
    def parts(self) -> int:
        """Number of parts that are under way."""
        return len(self._parts)

    def start(self, part: Named, *, elsewhere: bool = False) -> None:
        """Begin an attempt."""
        self._parts[part.id] = part
        self._count[part.id] += 1
        self._crew.start(part, elsewhere=elsewhere)

    def counts(self, ended: Ended) -> bool:
        """Take note of an attempt that ended; whether its part ended with it.

        It did not where the attempt failed while another is under way. Where it succeeded, the other is ended.
        """
        name = ended.part.id
        if name not in self._parts:
            return False
        self._count[name] -= 1
        if ended.problem is not None and self._count[name]:
            return False
        if self._count.pop(name):
            self._crew.drop(ended.part)
        del self._parts[name]
        self._begun.pop(name, None)
        if ended.problem is None:
            self._seconds.append(ended.seconds)
        return True

    def start_late_ones(self, fitting: int) -> None:
        """Begin late parts a second time where there is room for it; called when no other part waits.

        Args:
            fitting: how many attempts can be at work at once.
        """
        now = time.monotonic()
        if len(self._crew) > fitting:  # some still wait for room
            return
        for name in self._parts:
            self._begun.setdefault(name, now)
        limit = late_after(self._seconds)
        late = [name for name, begun in self._begun.items() if now - begun > limit]
        able = [name for name in late if self._count[name] == 1 and self._again[name] < _AGAIN]
        for name in sorted(able, key=self._begun.__getitem__)[: fitting - len(self._crew)]:
            self._again[name] += 1
            _log.warning("part %s is late by now, and begins a second time", name)
            self.start(self._parts[name], elsewhere=True)
