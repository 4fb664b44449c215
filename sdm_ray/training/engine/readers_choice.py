"""Whether threads of the ranks read images, or tasks of Ray Data anywhere in the cluster."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sdm_ray.config import JobConfig
from sdm_ray.progress import say
from sdm_ray.ray_runtime import connect
from sdm_ray.training.engine.config import WorkersConfig

_TASKS = 2  # of a stream: while one ends, the other goes on
_DECODES = 1.0  # CPUs that a stream of images keeps busy

AnyConfig = TypeVar("AnyConfig", bound=JobConfig)


@dataclass(frozen=True)
class Choice:
    """The number of tasks, 0 for threads of the ranks, and why."""

    tasks: int
    reason: str


def choose(
    workers: WorkersConfig, places: Sequence[str], nodes: Sequence[Mapping[str, float]], *, grows: bool = False
) -> Choice:
    """The way to read that suits a training.

    Args:
        workers: how training is distributed.
        places: of the images, one for each stream.
        nodes: resources of the cluster's nodes.
        grows: whether the cluster may get more; one that does not hold the ranks yet has to.
    """
    if not places:
        return Choice(0, "there are no images to decode")
    if workers.count == 0:
        return Choice(0, "training runs in the driver's own process")
    need = workers.count * len(places) * _DECODES
    free = sum(node.get("CPU", 0) for node in nodes) - workers.count * workers.cpus
    remote = next((place for place in places if "://" in place), None)
    if grows and free < 0 and remote is not None:
        return Choice(_TASKS, f"{remote} is far away, and the cluster has to grow for the ranks as well as for readers")
    if free < need:
        found = f"{max(free, 0):g} CPUs are left beside {workers.count} ranks, and tasks need {need:g}"
        return Choice(0, f"{remote} is far away, but {found}" if remote else found)
    if remote is not None:
        return Choice(_TASKS, f"{remote} is far away, and tasks on {free:g} free CPUs have requests of their own")
    if workers.gpus and any(node.get("CPU", 0) and not node.get("GPU", 0) for node in nodes):
        return Choice(_TASKS, "there are nodes without a GPU beside the ranks")
    if workers.cpus < len(places) * _DECODES:
        return Choice(_TASKS, f"a rank has {workers.cpus:g} CPUs for {len(places)} streams, and {free:g} are free")
    return Choice(0, "images are on a local disk, and ranks have cores for them")


def with_readers(config: AnyConfig, workers: WorkersConfig, places: Sequence[str]) -> AnyConfig:
    """A configuration whose `workers.readers` is a number, and a line that says which and why.

    Args:
        config: of a job with `workers`.
        workers: its workers.
        places: of the images, one for each stream.
    """
    if workers.readers != "auto":
        return config
    nodes: list[Mapping[str, Any]] = []
    if places and workers.count:
        connect()
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    choice = choose(workers, places, nodes, grows=bool(os.environ.get("RAY_ADDRESS")))
    if places:
        way = f"{choice.tasks} Ray Data tasks a stream read" if choice.tasks else "threads of each rank read"
        say(f"  workers.readers: {way} images: {choice.reason}")
    return config.model_copy(update={"workers": workers.model_copy(update={"readers": choice.tasks})})
