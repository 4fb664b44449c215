"""Parts of work over the cluster: a bounded number of Ray tasks; what fails is listed and the rest is finished."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import ray

from sdm_ray.config import TaskConfig
from sdm_ray.errors import InputError


class Named(Protocol):
    """A part of the work with a name to report."""

    @property
    def id(self) -> str:
        """The name."""
        ...


def run_tasks(
    work: Callable[[Any, Any], Any], shared: object, parts: Sequence[Named], compute: TaskConfig
) -> Iterator[tuple[Any, Any, str | None]]:
    """Do parts on the cluster, at most as many at once as there are workers.

    A part that fails, or whose worker dies, is tried once more. Where the caller stops early, what is under way is
    cancelled.

    Args:
        work: a function of `shared` and one part, at the top of a module.
        shared: what every part needs; small, or an object reference inside a list.
        parts: what to do, in this order.
        compute: what one task takes, and how many at once.

    Yields:
        Each part as it ends, with what `work` returned, or with None and one line about what went wrong.
    """
    task = ray.remote(_guarded).options(num_cpus=compute.cpus, num_gpus=compute.gpus, max_retries=1)
    waiting = iter(parts)
    under_way: dict[ray.ObjectRef, Any] = {}
    tried: set[str] = set()
    width = workers(compute)

    def start_more() -> None:
        while len(under_way) < width and (part := next(waiting, None)) is not None:
            under_way[task.remote(work, shared, part)] = part

    start_more()
    try:
        while under_way:
            (ended,), _ = ray.wait(list(under_way), num_returns=1)
            part = under_way.pop(ended)
            result, problem = _outcome(ended)
            if problem is not None and part.id not in tried:
                tried.add(part.id)
                under_way[task.remote(work, shared, part)] = part
                continue
            start_more()
            yield part, result, problem
    finally:
        if ray.is_initialized():  # where Python ends on an error Ray is gone by now, and a call would start it anew
            for left in under_way:
                ray.cancel(left)


def refuse_failed(place: object, what: str, failed: Sequence[str], total: int) -> None:
    """Raise an InputError that names some of the parts that failed, where any did."""
    if failed:
        shown = ", ".join(failed[:3]) + (", ..." if len(failed) > 3 else "")
        found = f"{len(failed)} of {total} {what} failed: {shown}"
        raise InputError(f"{place}: {found}; the others are kept, run the job again for the rest")


def workers(compute: TaskConfig) -> int:
    """Parts under way at once."""
    if compute.workers:
        return compute.workers
    have = ray.cluster_resources()
    by_cpu = have.get("CPU", 1) / compute.cpus
    by_gpu = have.get("GPU", 0) / compute.gpus if compute.gpus else math.inf
    return max(1, int(min(by_cpu, by_gpu)))


def _guarded(work: Callable[[Any, Any], Any], shared: object, part: object) -> tuple[Any, str | None]:
    """What `work` returns, or what went wrong: one line for the driver instead of a traceback from every worker."""
    try:
        return work(shared, part), None
    except Exception as error:
        return None, _line(error)


def _outcome(ended: ray.ObjectRef) -> tuple[Any, str | None]:
    try:
        return ray.get(ended)
    except ray.exceptions.RayError as error:  # the worker died
        return None, _line(error)


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return name + (text[0] if text else "no message")
