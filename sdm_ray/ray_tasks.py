"""Parts of work over the cluster: tasks, or actors that hold a GPU; what fails is listed and the rest is finished.

More parts are pending than fit, and how many fit is looked up again and again: so a cluster that can grow sees what is
wanted, and nodes that join or leave while the work goes on are used or done without.
"""

import logging
import math
import re
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import ray

from sdm_ray.config import TaskConfig
from sdm_ray.errors import InputError
from sdm_ray.ray_metrics import count, gauge

_log = logging.getLogger(__name__)
_AHEAD = 2  # times as many parts are pending as fit, so that an autoscaler sees a demand
_LEAST = 16  # pending at least, also on a cluster without any CPU yet
_LOOK_S = 2.0  # between two looks at the nodes
_PATIENCE_S = 30.0  # without a node on which a part fits
_TRIES = 2  # of a part that raises an error
_LOSSES = 4  # of a part whose worker dies, which need not be the part's fault
_ALIKE = 10  # parts that end the work where they are the first and all fail for one reason


class Named(Protocol):
    """A part of the work with a name to report."""

    @property
    def id(self) -> str:
        """The name."""
        ...


def run_tasks(
    work: Callable[[Any, Any], Any], shared: object, parts: Sequence[Named], compute: TaskConfig
) -> Iterator[tuple[Any, Any, str | None]]:
    """Do parts on the cluster, at most `compute.workers` at once, or as many as fit.

    A part that raises an error is tried once more, one whose worker dies up to four times in all. Where the caller
    stops early, what is under way is cancelled. Parts that need a GPU are done by actors, of which each keeps the GPU,
    the process and the models that it began with.

    Args:
        work: a function of `shared` and one part, at the top of a module.
        shared: what every part needs; small, or an object reference inside a list.
        parts: what to do, in this order.
        compute: what one part takes, and how many at once.

    Yields:
        Each part as it ends, with what `work` returned, or with None and one line about what went wrong.

    Raises:
        InputError: the first parts all failed for one reason.
    """
    crew: _Tasks | _Actors = (_Actors if compute.gpus else _Tasks)(work, shared, compute)
    waiting, tries, width, left = iter(parts), _Tries(), _Width(compute), len(parts)

    def fill() -> None:
        while len(crew.under_way) < width() and (part := next(waiting, None)) is not None:
            crew.start(part)

    try:
        fill()
        while crew.under_way:
            ended, _ = ray.wait(list(crew.under_way), num_returns=1, timeout=_LOOK_S)
            width.note(bool(ended))
            for reference in ended:
                part, result, problem, lost = crew.end(reference)
                if problem is not None and tries.again(part.id, lost=lost):
                    crew.start(part)
                    continue
                fill()
                left -= 1
                _report(work, problem, len(crew.under_way), left)
                yield part, result, problem
                tries.note(problem)
            if not ended:
                fill()
    finally:
        if ray.is_initialized():  # where Python ends on an error Ray is gone by now, and a call would start it anew
            crew.stop()


def _report(work: Callable[[Any, Any], Any], problem: str | None, under_way: int, left: int) -> None:
    name = work.__name__.strip("_")
    count("sdm_ray_parts", 1, work=name, outcome="done" if problem is None else "failed")
    gauge("sdm_ray_parts_under_way", under_way, work=name)
    gauge("sdm_ray_parts_left", left, work=name)


def refuse_failed(place: object, what: str, failed: Sequence[str], total: int) -> None:
    """Raise an InputError that names some of the parts that failed, where any did."""
    if failed:
        shown = ", ".join(failed[:3]) + (", ..." if len(failed) > 3 else "")
        found = f"{len(failed)} of {total} {what} failed: {shown}"
        raise InputError(f"{place}: {found}; the others are kept, run the job again for the rest")


def fitting(nodes: Iterable[Mapping[str, float]], compute: TaskConfig) -> int:
    """How many parts fit at once on nodes of some resources; a part never spans nodes."""
    wanted = {"CPU": compute.cpus, "GPU": compute.gpus, "memory": compute.reserve_mb * 2**20}
    asked = {name: amount for name, amount in wanted.items() if amount}
    return sum(min(math.floor(node.get(name, 0) / amount + 1e-9) for name, amount in asked.items()) for node in nodes)


class _Width:
    """How many parts may be under way: of a limit that is set, else by the nodes of the moment."""

    def __init__(self, compute: TaskConfig) -> None:
        self._compute = compute
        self._looked = -math.inf
        self._fitting = 0
        self._ended = time.monotonic()
        self._told = False

    def __call__(self) -> int:
        if time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            self._fitting = fitting((node["Resources"] for node in ray.nodes() if node["Alive"]), self._compute)
        return self._compute.workers or max(_LEAST, _AHEAD * self._fitting)

    def note(self, ended: bool) -> None:
        """Say, once, that nothing ends since no node is large enough."""
        if ended or self._fitting:
            self._ended = time.monotonic()
        elif not self._told and time.monotonic() - self._ended > _PATIENCE_S:
            self._told = True
            own = self._compute
            memory = f", {own.reserve_mb:g} MB" if own.reserve_mb else ""
            _log.warning(
                "no node has what one part takes (compute: %g CPUs, %g GPUs%s): waiting for one; the nodes together"
                " have %g CPUs and %g GPUs", own.cpus, own.gpus, memory,
                *(ray.cluster_resources().get(name, 0) for name in ("CPU", "GPU")),
            )  # fmt: skip


class _Tries:
    """Which parts are tried again, and whether the first ones all fail alike."""

    def __init__(self) -> None:
        self._errors: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._alike: list[str] | None = []

    def again(self, part: str, *, lost: bool) -> bool:
        """Whether a part that failed is tried once more."""
        counted, most = (self._losses, _LOSSES) if lost else (self._errors, _TRIES)
        counted[part] += 1
        return counted[part] < most

    def note(self, problem: str | None) -> None:
        """Take note of how a part ended.

        Raises:
            InputError: it is the last of the first parts, which all failed for one reason.
        """
        if self._alike is None:
            return
        if problem is None or (self._alike and _reason(problem) != _reason(self._alike[0])):
            self._alike = None
            return
        self._alike.append(problem)
        if len(self._alike) == _ALIKE:
            raise InputError(f"the first {_ALIKE} parts all failed for one reason, the others not tried: {problem}")


def _reason(problem: str) -> str:
    """What the messages of several parts have in common."""
    return re.sub(r"\d+", "0", problem)


class _Tasks:
    """Parts as plain tasks."""

    def __init__(self, work: Callable[[Any, Any], Any], shared: object, compute: TaskConfig) -> None:
        self._work, self._shared = work, shared
        self._task = ray.remote(_guarded)
        self._options = {"num_cpus": compute.cpus, "max_retries": 0, **_memory(compute)}
        self.under_way: dict[ray.ObjectRef, Any] = {}

    def start(self, part: Named) -> None:
        """Have a part done."""
        named = self._task.options(name=f"{self._work.__name__.strip('_')} {part.id}", **self._options)
        self.under_way[named.remote(self._work, self._shared, part)] = part

    def end(self, reference: ray.ObjectRef) -> tuple[Any, Any, str | None, bool]:
        """A part that ended, its result, what went wrong, and whether its worker died."""
        return self.under_way.pop(reference), *_outcome(reference)

    def stop(self) -> None:
        """Cancel what is under way."""
        for left in self.under_way:
            ray.cancel(left)


class _Actors:
    """Parts by actors, one at a time each; an actor whose process dies is replaced."""

    def __init__(self, work: Callable[[Any, Any], Any], shared: object, compute: TaskConfig) -> None:
        self._arguments = work, shared
        self._name = work.__name__.strip("_")
        held = {"num_cpus": compute.cpus, "num_gpus": compute.gpus, **_memory(compute)}
        self._kind = ray.remote(_Worker).options(**held)
        self._idle: list[Any] = []
        self._busy: dict[ray.ObjectRef, Any] = {}
        self.under_way: dict[ray.ObjectRef, Any] = {}

    def start(self, part: Named) -> None:
        """Have a part done, by an idle actor or by a new one, which waits for its GPU."""
        actor = self._idle.pop() if self._idle else self._kind.remote(*self._arguments)
        do: Any = actor.do
        reference = do.options(name=f"{self._name} {part.id}").remote(part)
        self._busy[reference], self.under_way[reference] = actor, part

    def end(self, reference: ray.ObjectRef) -> tuple[Any, Any, str | None, bool]:
        """A part that ended, its result, what went wrong, and whether its worker died."""
        result, problem, lost = _outcome(reference)
        actor = self._busy.pop(reference)
        if not lost:
            self._idle.append(actor)
        return self.under_way.pop(reference), result, problem, lost

    def stop(self) -> None:
        """End all actors."""
        for actor in (*self._idle, *self._busy.values()):
            ray.kill(actor)


class _Worker:
    """One process with what it holds, such as its GPU, for as long as there are parts."""

    def __init__(self, work: Callable[[Any, Any], Any], shared: object) -> None:
        self._work, self._shared = work, shared

    def do(self, part: object) -> tuple[Any, str | None]:
        """Do one part."""
        return _guarded(self._work, self._shared, part)


def _memory(compute: TaskConfig) -> dict[str, Any]:
    return {"memory": int(compute.reserve_mb * 2**20)} if compute.reserve_mb else {}


def _guarded(work: Callable[[Any, Any], Any], shared: object, part: object) -> tuple[Any, str | None]:
    """What `work` returns, or what went wrong: one line for the driver, the traceback for the worker's own log."""
    try:
        return work(shared, part), None
    except Exception as error:
        traceback.print_exc()
        return None, line_of(error)


def _outcome(ended: ray.ObjectRef) -> tuple[Any, str | None, bool]:
    """Result, problem, and whether the worker died."""
    try:
        return *ray.get(ended), False
    except ray.exceptions.RayTaskError as error:  # the worker could not even begin, as where a package is missing
        return None, line_of(error), False
    except ray.exceptions.RayError as error:
        return None, line_of(error), True


def line_of(error: BaseException) -> str:
    """One line about an error; of one whose text holds a traceback, the line behind it."""
    text = str(error).strip().splitlines()
    if isinstance(error, InputError):
        return text[0] if text else "no message"
    causes = [line.strip() for line in text if re.match(r"\s*[\w.]*(Error|Exception|Interrupt)\b: ", line)]
    if causes and any(line.strip().startswith("Traceback") or "ray::" in line for line in text):
        return causes[-1]
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
