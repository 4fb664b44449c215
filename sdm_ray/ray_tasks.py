"""Parts of work over the cluster: tasks, or actors that hold a GPU; what fails is listed and the rest is finished.

More parts are pending than fit, and how many fit is looked up again and again: so a cluster that can grow sees what is
wanted, and nodes that join or leave while the work goes on are used or done without.
"""

import logging
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import ray

from sdm_ray.config import TaskConfig
from sdm_ray.errors import InputError
from sdm_ray.ray_attempts import Attempts
from sdm_ray.ray_metrics import count, gauge
from sdm_ray.ray_nodes import Packages
from sdm_ray.ray_workers import Actors, Crew, Named, Tasks, Work

_log = logging.getLogger(__name__)
_AHEAD = 2  # times as many parts are pending as fit, so that an autoscaler sees a demand
_LEAST = 16  # pending at least, also on a cluster without any CPU yet
_LOOK_S = 2.0  # between two looks at the nodes
_PATIENCE_S = 30.0  # without a node on which a part fits
_TRIES = 2  # of a part that raises an error
_LOSSES = 4  # of a part whose worker dies, which need not be the part's fault
_ALIKE = 10  # parts that end the work where they are the first and all fail for one reason


def run_tasks(
    work: Work, shared: object, parts: Sequence[Named], compute: TaskConfig, *, twice: bool = False
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
        twice: whether a part that is late at the end of the work begins a second time where there is room, as on a
            node that hangs; the attempt that ends first counts and the other is ended. What the work writes must bear
            that: the same content each time, whole or not at all.

    Yields:
        Each part as it ends, with what `work` returned, or with None and one line about what went wrong.

    Raises:
        InputError: the first parts all failed for one reason, or a node that joined meanwhile lacks the package.
        ValueError: two parts have one name.
    """
    if len({part.id for part in parts}) < len(parts):
        raise ValueError("two parts have one name")
    crew: Crew = (Actors if compute.gpus else Tasks)(work, shared, compute)
    waiting, tries, width, left = iter(parts), _Tries(), _Width(compute), len(parts)
    attempts = Attempts(crew)

    def fill() -> None:
        while len(crew) < width() and (part := next(waiting, None)) is not None:
            attempts.start(part)

    try:
        fill()
        while len(crew):
            found = crew.ended(_LOOK_S)
            width.note(bool(found))
            for each in found:
                if not attempts.counts(each):
                    continue
                if each.problem is not None and tries.again(each.part.id, lost=each.lost):
                    attempts.start(each.part)
                    continue
                fill()
                left -= 1
                _report(work, each.problem, len(crew), left)
                yield each.part, each.result, each.problem
                tries.note(each.problem)
            fill()
            if twice and not found and left == attempts.parts:
                attempts.start_late_ones(width.fitting())
    finally:
        if ray.is_initialized():  # where Python ends on an error Ray is gone by now, and a call would start it anew
            crew.stop()


def _report(work: Work, problem: str | None, under_way: int, left: int) -> None:
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
        self._packages: Packages | None = None

    def __call__(self) -> int:
        if time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            nodes = ray.nodes()
            self._fitting = fitting((node["Resources"] for node in nodes if node["Alive"]), self._compute)
            if self._packages is None:  # those that are there were asked when the driver joined them
                self._packages = Packages(node["NodeID"] for node in nodes)
            self._packages.look(nodes)
        return self._compute.workers or max(_LEAST, _AHEAD * self._fitting)

    def fitting(self) -> int:
        """How many parts work at once."""
        return min(self._compute.workers, self._fitting) if self._compute.workers else self._fitting

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
