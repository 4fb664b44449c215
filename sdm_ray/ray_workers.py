"""What does the parts of a job on Ray: plain tasks, or actors of which each holds its GPU."""

import re
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import ray

from sdm_ray.config import TaskConfig
from sdm_ray.errors import InputError

Work = Callable[[Any, Any], Any]
"""(what all parts share, one part) -> the result."""


class Named(Protocol):
    """A part of the work with a name to report."""

    @property
    def id(self) -> str:
        """The name."""
        ...


@dataclass(frozen=True)
class Ended:
    """A part that ended.

    Attributes:
        part: the part.
        result: what the work returned; None where it failed.
        problem: one line about what went wrong, or None.
        lost: whether the worker died, which need not be the part's fault.
        seconds: that the work took; 0 where it was not told.
    """

    part: Any
    result: Any = None
    problem: str | None = None
    lost: bool = False
    seconds: float = 0.0


class Crew(Protocol):
    """What does parts."""

    def __len__(self) -> int:
        """Number of attempts at parts that are under way."""
        ...

    def start(self, part: Named, *, elsewhere: bool = False) -> None:
        """Have a part done; `elsewhere`: it is under way already, so on another node where that can be asked for."""
        ...

    def ended(self, timeout: float) -> list[Ended]:
        """Wait, at most so many seconds, for the next attempt that ends; empty where none did."""
        ...

    def drop(self, part: Named) -> None:
        """End what is still under way of a part."""
        ...

    def stop(self) -> None:
        """End what is under way."""
        ...


class Tasks:
    """Parts as plain tasks."""

    def __init__(self, work: Work, shared: object, compute: TaskConfig) -> None:
        self._work, self._shared = work, shared
        self._task = ray.remote(_guarded)
        self._options = {"num_cpus": compute.cpus, "max_retries": 0, **_memory(compute)}
        self._under_way: dict[ray.ObjectRef, Any] = {}

    def __len__(self) -> int:
        """Number of attempts that are under way."""
        return len(self._under_way)

    def start(self, part: Named, *, elsewhere: bool = False) -> None:
        """Have a part done."""
        strategy = {"scheduling_strategy": "SPREAD"} if elsewhere else {}
        named = self._task.options(name=f"{self._work.__name__.strip('_')} {part.id}", **self._options, **strategy)
        self._under_way[named.remote(self._work, self._shared, part)] = part

    def ended(self, timeout: float) -> list[Ended]:
        """Wait, at most so many seconds, for the next attempt that ends; empty where none did."""
        return [_outcome(self._under_way.pop(each), each) for each in _next(list(self._under_way), timeout)]

    def drop(self, part: Named) -> None:
        """End the processes that still work at a part: they may hang, or write what has long been written."""
        for reference in [each for each, other in self._under_way.items() if other.id == part.id]:
            del self._under_way[reference]
            ray.cancel(reference, force=True)

    def stop(self) -> None:
        """Cancel what is under way."""
        for left in self._under_way:
            ray.cancel(left)


class Actors:
    """Parts by actors, one at a time each; an actor whose process dies is replaced.

    A part is given to an actor that has its GPU. Actors that still wait for one hold no part: a cluster that never
    grows would not do it.
    """

    def __init__(self, work: Work, shared: object, compute: TaskConfig) -> None:
        self._arguments = work, shared
        self._name = work.__name__.strip("_")
        held = {"num_cpus": compute.cpus, "num_gpus": compute.gpus, **_memory(compute)}
        self._kind = ray.remote(_Worker).options(**held)
        self._waiting: deque[Any] = deque()  # parts
        self._starting: dict[ray.ObjectRef, Any] = {}  # actors
        self._idle: list[Any] = []
        self._busy: dict[ray.ObjectRef, tuple[Any, Any]] = {}  # actor and part

    def __len__(self) -> int:
        """Number of attempts that are under way."""
        return len(self._waiting) + len(self._busy)

    def start(self, part: Named, *, elsewhere: bool = False) -> None:
        """Have a part done, by an idle actor or by the first that has a GPU, on any node; more actors are asked for."""
        self._waiting.append(part)
        self._hand_out()
        if len(self._starting) < len(self._waiting):
            actor: Any = self._kind.remote(*self._arguments)
            self._starting[actor.ready.remote()] = actor

    def ended(self, timeout: float) -> list[Ended]:
        """Wait, at most so many seconds, for the next attempt that ends; empty where none did."""
        found = []
        for reference in _next([*self._busy, *self._starting], timeout):
            if reference in self._busy:
                actor, part = self._busy.pop(reference)
                outcome = _outcome(part, reference)
                found.append(outcome)
            else:
                actor, outcome = self._starting.pop(reference), _outcome(None, reference)
                if outcome.problem is not None and self._waiting:  # charged to a part, or it would go on for ever
                    found.append(Ended(self._waiting.popleft(), None, outcome.problem, lost=True))
            if not outcome.lost:
                self._idle.append(actor)
        self._hand_out()
        return found

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            actor, part = self._idle.pop(), self._waiting.popleft()
            do: Any = actor.do
            self._busy[do.options(name=f"{self._name} {part.id}").remote(part)] = actor, part
        while len(self._starting) > len(self._waiting):  # those that were asked for last: the others have their turn
            ray.kill(self._starting.popitem()[1])

    def drop(self, part: Named) -> None:
        """End the actors that still work at a part."""
        self._waiting = deque(other for other in self._waiting if other.id != part.id)
        for reference in [each for each, (_, other) in self._busy.items() if other.id == part.id]:
            ray.kill(self._busy.pop(reference)[0])

    def stop(self) -> None:
        """End all actors."""
        for actor in (*self._idle, *self._starting.values(), *(actor for actor, _ in self._busy.values())):
            ray.kill(actor)


class _Worker:
    """One process with what it holds, such as its GPU, for as long as there are parts."""

    def __init__(self, work: Work, shared: object) -> None:
        self._work, self._shared = work, shared

    def ready(self) -> tuple[None, None, float]:
        """Nothing, once the process has started."""
        return None, None, 0.0

    def do(self, part: object) -> tuple[Any, str | None, float]:
        """Do one part."""
        return _guarded(self._work, self._shared, part)


def _next(references: list[ray.ObjectRef], timeout: float) -> list[ray.ObjectRef]:
    ended, _ = ray.wait(references, num_returns=1, timeout=timeout)
    return list(ended)


def _memory(compute: TaskConfig) -> dict[str, Any]:
    return {"memory": int(compute.reserve_mb * 2**20)} if compute.reserve_mb else {}


def _guarded(work: Work, shared: object, part: object) -> tuple[Any, str | None, float]:
    """What `work` returns, or what went wrong, and the seconds: one line, the traceback is for the worker's own log."""
    begun = time.monotonic()
    try:
        return work(shared, part), None, time.monotonic() - begun
    except Exception as error:
        traceback.print_exc()
        return None, line_of(error), time.monotonic() - begun


def _outcome(part: object, ended: ray.ObjectRef) -> Ended:
    try:
        result, problem, seconds = ray.get(ended)
        return Ended(part, result, problem, seconds=seconds)
    except ray.exceptions.RayTaskError as error:  # the worker could not even begin, as where a package is missing
        return Ended(part, None, line_of(error))
    except ray.exceptions.RayError as error:
        return Ended(part, None, line_of(error), lost=True)


def line_of(error: BaseException) -> str:
    """One line about an error; of one whose text holds a traceback, the line behind it."""
    text = str(error).strip().splitlines()
    if isinstance(error, InputError):
        return text[0] if text else "no message"
    causes = [line.strip() for line in text if re.match(r"\s*[\w.]*(Error|Exception|Interrupt)\b: ", line)]
    if causes and any(line.strip().startswith("Traceback") or "ray::" in line for line in text):
        return causes[-1]
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
