"""Tiles over the cluster, each by a worker that has loaded its models."""

import uuid
from collections.abc import Callable
from typing import Any, Protocol

import ray
from upath import UPath

from sdm_ray.mapping import plan
from sdm_ray.mapping.config import ComputeConfig
from sdm_ray.mapping.tile import Work
from sdm_ray.progress import say, track
from sdm_ray.ray_tasks import refuse_failed, run_tasks
from sdm_ray.stores import icechunk_repository
from sdm_ray.stores.ledger import Ledger

_workers: dict[str, "Worker"] = {}  # of this process: models are loaded once, however many tiles it does


class Worker(Protocol):
    """Does tiles, with the models loaded."""

    def do(self, tile: plan.PlannedTile) -> dict[str, Any]:
        """Compute and write a tile; returns its figures."""
        ...


def do_tiles(kind: Callable[[Work], Worker], work: Work, todo: plan.Plan, compute: ComputeConfig) -> None:
    """Do the tiles that are left, over the cluster, each worker loading its models once.

    A tile's record comes last: after its arrays, or after the commit that holds them.

    Raises:
        InputError: tiles failed twice; all others are finished and kept.
    """
    if not todo.left:
        return
    output = UPath(work.output)
    shared = (uuid.uuid4().hex, kind, [ray.put(work)], icechunk_repository.fork(output))
    failed: list[str] = []
    written: list[tuple[plan.PlannedTile, dict[str, Any], icechunk_repository.Session]] = []
    largest_first = sorted(todo.left, key=lambda tile: -tile.cells)  # or a few of them would end long after the others
    ended = run_tasks(_tile, shared, largest_first, compute, twice=True)
    try:
        for tile, result, problem in track(ended, len(todo.left), "tiles"):
            if problem is not None:
                failed.append(f"{tile.id} ({problem})")
                say(f"tile {tile.id} failed twice: {problem}")
            elif result is not None:
                written.append((tile, *result))
            if len(written) >= compute.commit_tiles:
                _commit(work, written)
    finally:
        _commit(work, written)
    refuse_failed(work.output, "tiles", failed, len(todo.tiles))


Shared = tuple[str, Callable[[Work], Worker], list[ray.ObjectRef], icechunk_repository.Session]


def _tile(shared: Shared, tile: plan.PlannedTile) -> tuple[dict[str, Any], icechunk_repository.Session] | None:
    """Do and record a tile; where it is to be committed first, its figures and the session that holds it."""
    key, kind, (reference,), session = shared
    work = ray.get(reference)
    if key not in _workers:
        _workers.clear()
        _workers[key] = kind(work)
    with icechunk_repository.writing(UPath(work.output), session):
        figures = _workers[key].do(tile)
    if session is not None:
        return figures, session
    Ledger(UPath(work.output), work.fingerprint).add(tile.id, figures)
    return None


def _commit(work: Work, written: list[tuple[plan.PlannedTile, dict[str, Any], icechunk_repository.Session]]) -> None:
    """Commit tiles, then record them."""
    output = UPath(work.output)
    ledger = Ledger(output, work.fingerprint)
    icechunk_repository.merge(output, [session for _, _, session in written], f"{len(written)} tiles")
    for tile, figures, _ in written:
        ledger.add(tile.id, figures)
    written.clear()
