"""Tiles over the cluster, each by a worker that has loaded its models."""

import uuid
from collections.abc import Callable
from typing import Any, Protocol

import ray

from sdm_ray.config import TaskConfig
from sdm_ray.errors import InputError
from sdm_ray.mapping import plan
from sdm_ray.mapping.tile import Work
from sdm_ray.progress import say, track
from sdm_ray.spread import spread

_workers: dict[str, "Worker"] = {}  # of this process: models are loaded once, however many tiles it does


class Worker(Protocol):
    """Does tiles, with the models loaded."""

    def do(self, piece: plan.Piece) -> dict[str, Any]:
        """Compute, write and record a tile; returns its figures."""
        ...


def do_tiles(kind: Callable[[Work], Worker], work: Work, todo: plan.Plan, compute: TaskConfig) -> None:
    """Do the tiles that are left, over the cluster, each worker loading its models once.

    Raises:
        InputError: tiles failed twice; all others are finished and kept.
    """
    shared = (uuid.uuid4().hex, kind, [ray.put(work)])
    failed = []
    ended = spread(_tile, shared, todo.left, compute)
    for piece, _, problem in track(ended, len(todo.left), "tiles"):
        if problem is not None:
            failed.append(f"{piece.id} ({problem})")
            say(f"tile {piece.id} failed twice: {problem}")
    if failed:
        shown = ", ".join(failed[:3]) + (", ..." if len(failed) > 3 else "")
        raise InputError(
            f"{work.output}: {len(failed)} of {len(todo.pieces)} tiles failed: {shown}; the others are kept,"
            " run the job again for the rest"
        )


def _tile(shared: tuple[str, Callable[[Work], Worker], list[ray.ObjectRef]], piece: plan.Piece) -> dict[str, Any]:
    key, kind, (work,) = shared
    if key not in _workers:
        _workers.clear()
        _workers[key] = kind(ray.get(work))
    return _workers[key].do(piece)
