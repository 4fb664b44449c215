"""Whether threads of the ranks read images, or tasks of Ray Data anywhere in the cluster."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sdm_ray.config import JobConfig, TaskConfig
from sdm_ray.errors import InputError
from sdm_ray.progress import say
from sdm_ray.ray_runtime import connect
from sdm_ray.ray_tasks import fitting
from sdm_ray.streams.reader_tasks import NO_TASKS, STORE_BYTES, ReaderTasks
from sdm_ray.training.engine.config import WorkersConfig

_TASKS = 2  # of a stream: while one ends, the other goes on
_DECODES = 1.0  # CPUs that a stream of images keeps busy
_STORE_SHARE = 0.5  # of the object stores of the readers' nodes, for all streams of all ranks together
_STORE_LEAST = 96 << 20  # bytes for a stream: a few blocks

AnyConfig = TypeVar("AnyConfig", bound=JobConfig)


@dataclass(frozen=True)
class Choice:
    """The number of tasks, 0 for threads of the ranks, and why."""

    tasks: int
    reason: str


def choose(
    workers: WorkersConfig,
    places: Sequence[str],
    nodes: Sequence[Mapping[str, float]],
    *,
    pool: float | None = None,
    grows: bool = False,
) -> Choice:
    """The way to read that suits a training.

    Args:
        workers: how training is distributed.
        places: of the images, one for each stream.
        nodes: resources of the cluster's nodes.
        pool: CPUs of the nodes that have `workers.reader_labels`; None where any node will do.
        grows: whether the cluster may get more; one that does not hold the ranks yet has to.
    """
    if not places:
        return Choice(0, "there are no images to decode")
    if workers.count == 0:
        return Choice(0, "training runs in the driver's own process")
    need = workers.count * len(places) * _DECODES
    beside = sum(node.get("CPU", 0) for node in nodes) - workers.count * workers.cpus
    free = beside if pool is None else pool
    remote = next((place for place in places if "://" in place), None)
    if grows and remote is not None and (beside < 0 or pool == 0):
        return Choice(_TASKS, f"{remote} is far away, and the cluster has to grow for the ranks as well as for readers")
    if free < need:
        left = f"left beside {workers.count} ranks" if pool is None else "on nodes with `reader_labels`"
        found = f"{max(free, 0):g} CPUs are {left}, and tasks need {need:g}"
        return Choice(0, f"{remote} is far away, but {found}" if remote else found)
    if remote is not None:
        return Choice(_TASKS, f"{remote} is far away, and tasks on {free:g} free CPUs have requests of their own")
    if workers.gpus and any(node.get("CPU", 0) and not node.get("GPU", 0) for node in nodes):
        return Choice(_TASKS, "there are nodes without a GPU beside the ranks")
    if workers.cpus < len(places) * _DECODES:
        return Choice(_TASKS, f"a rank has {workers.cpus:g} CPUs for {len(places)} streams, and {free:g} are free")
    return Choice(0, "images are on a local disk, and ranks have cores for them")


def check_readers(
    workers: WorkersConfig, streams: int, nodes: Sequence[Mapping[str, Any]], *, grows: bool = False
) -> None:
    """See that every stream of all ranks can have a task, and validation too: without any they would wait for ever.

    Args:
        workers: how training is distributed.
        streams: of a rank that read images.
        nodes: of the cluster, as `ray.nodes()` tells them.
        grows: whether the cluster may get more, so that a line is printed and the job goes on.

    Raises:
        InputError: there is no room for them, and no more will come.
    """
    ranks, labels = workers.least or workers.count, workers.reader_labels
    tasks = ranks * (streams + 1)
    able = _with_labels(nodes, labels)
    task = TaskConfig(cpus=workers.reader_cpus, reserve_mb=workers.reader_reserve_mb)
    left = sum(node.get("CPU", 0.0) for node in able) - (0.0 if labels else ranks * workers.cpus)
    room = min(fitting(able, task), math.floor(left / workers.reader_cpus + 1e-9))
    if room >= tasks:
        return
    where = f"nodes of {', '.join(f'{name}: {value}' for name, value in labels.items())}" if labels else "nodes"
    beside = "" if labels else f" beside {ranks} ranks of {workers.cpus:g} CPUs"
    found = (
        f"workers.readers: {where} have room for {max(room, 0)} tasks of {workers.reader_cpus:g} CPUs{beside}; expected"
        f" {tasks} or more, one for each stream and for validation: lower `workers.cpus`, or set `workers.readers: 0`"
    )
    if not grows:
        raise InputError(found)
    say(f"  {found}; waiting for more CPUs to join the cluster")


def reader_tasks(workers: WorkersConfig, streams: int) -> ReaderTasks:
    """The tasks that read for each stream of each rank; none where threads do.

    Args:
        workers: how training is distributed; `readers` is a number.
        streams: of a rank that read images.
    """
    if not workers.reads_by_tasks:
        return NO_TASKS
    connect()
    import ray

    labels = workers.reader_labels
    share = store_share(_with_labels(ray.nodes(), labels), max(workers.count, 1) * streams)
    return ReaderTasks(int(workers.readers), workers.reader_cpus, workers.reader_reserve_mb, labels, share)


def store_share(nodes: Sequence[Mapping[str, float]], streams: int) -> int:
    """Bytes of Ray's object store for one of all streams: together half of it, but a few blocks each at least.

    Args:
        nodes: resources of the nodes that readers run on; there may be none yet.
        streams: of all ranks.
    """
    held = sum(node.get("object_store_memory", 0.0) for node in nodes if node.get("CPU", 0.0))
    return min(STORE_BYTES, max(_STORE_LEAST, int(_STORE_SHARE * held / max(streams, 1))))


def with_readers(config: AnyConfig, workers: WorkersConfig, places: Sequence[str]) -> AnyConfig:
    """A configuration whose `workers.readers` is a number, and a line that says which and why where it was chosen.

    Args:
        config: of a job with `workers`.
        workers: its workers.
        places: of the images, one for each stream.

    Raises:
        InputError: the tasks would find no CPUs.
    """
    nodes: list[Mapping[str, Any]] = []
    if places and workers.count and workers.readers != 0:
        connect()
        import ray

        nodes = [node for node in ray.nodes() if node["Alive"]]
    grows = bool(os.environ.get("RAY_ADDRESS"))
    if workers.readers == "auto":
        pool = _cpus(nodes, workers.reader_labels) if workers.reader_labels else None
        choice = choose(workers, places, [node["Resources"] for node in nodes], pool=pool, grows=grows)
        if places:
            way = f"{choice.tasks} Ray Data tasks a stream read" if choice.tasks else "threads of each rank read"
            say(f"  workers.readers: {way} images: {choice.reason}")
        workers = workers.model_copy(update={"readers": choice.tasks})
    if places and workers.count and workers.reads_by_tasks:
        check_readers(workers, len(places), nodes, grows=grows)
    return config.model_copy(update={"workers": workers})


def _cpus(nodes: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> float:
    return sum(each.get("CPU", 0.0) for each in _with_labels(nodes, labels))


def _with_labels(nodes: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[Mapping[str, float]]:
    """Resources of the nodes of `ray.nodes()` that are alive and have some labels."""
    return [node["Resources"] for node in nodes if node["Alive"] and labels.items() <= node.get("Labels", {}).items()]
