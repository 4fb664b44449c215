"""Tiles over the cluster: a bounded number of Ray tasks, one tile each, what fails listed and the rest finished."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import ray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.mapping.config import ComputeConfig


class Named(Protocol):
    """A piece of work with a name to report."""

    @property
    def id(self) -> str:
        """The name."""
        ...


def spread(
    work: Callable[[Any, Any], Any], shared: object, pieces: Sequence[Named], compute: ComputeConfig
) -> Iterator[tuple[Named, Any, str | None]]:
    """Do pieces on the cluster, at most as many at once as there are workers.

    A piece whose task fails or whose worker dies is tried once more.

    Args:
        work: a function of `shared` and one piece, at the top of a module.
        shared: what every piece needs; small, or an object reference inside a list.
        pieces: what to do, in this order.
        compute: what one task takes, and how many at once.

    Yields:
        Each piece as it ends, with what `work` returned, or None and one line about what went wrong.
    """
    task = ray.remote(work).options(num_cpus=compute.cpus, num_gpus=compute.gpus, max_retries=1, retry_exceptions=True)
    waiting = iter(pieces)
    under_way: dict[ray.ObjectRef, Named] = {}
    width = workers(compute)

    def start() -> None:
        while len(under_way) < width and (piece := next(waiting, None)) is not None:
            under_way[task.remote(shared, piece)] = piece

    start()
    while under_way:
        (ended,), _ = ray.wait(list(under_way), num_returns=1)
        piece = under_way.pop(ended)
        start()
        try:
            yield piece, ray.get(ended), None
        except ray.exceptions.RayError as error:
            yield piece, None, reason(error)


def workers(compute: ComputeConfig) -> int:
    """Pieces under way at once."""
    if compute.workers:
        return compute.workers
    have = ray.cluster_resources()
    by_cpu = have.get("CPU", 1) / compute.cpus
    by_gpu = have.get("GPU", 0) / compute.gpus if compute.gpus else math.inf
    return max(1, int(min(by_cpu, by_gpu)))


def reason(error: BaseException) -> str:
    """What went wrong in a task, in one line."""
    cause = getattr(error, "cause", None) or error
    text = str(cause).strip().splitlines()
    name = "" if isinstance(cause, InputError) else f"{type(cause).__name__}: "
    return name + (text[0] if text else "no message")


def absolute(place: UPath) -> str:
    """A place as every worker finds it: a worker's working folder may be another."""
    return os.path.abspath(place.path) if place.protocol in ("", "file", "local") else str(place)
