"""Tiles over the cluster where one that fails ends the job: what each returned, in their own order."""

from collections.abc import Sequence
from typing import Any, Protocol

from sdm_ray.config import TaskConfig
from sdm_ray.errors import InputError
from sdm_ray.progress import track
from sdm_ray.ray_tasks import Work, run_tasks


class _Tile(Protocol):
    @property
    def id(self) -> str: ...


def do_all(
    work: Work, shared: object, tiles: Sequence[_Tile], compute: TaskConfig, *, name: str, place: object
) -> list[Any]:
    """Do every tile; so sums over the results do not depend on which tile ended first.

    Args:
        work: a function of `shared` and one tile, at the top of a module.
        shared: what every tile needs; small, or an object reference inside a list.
        tiles: to do.
        compute: what one tile takes, and how many at once.
        name: of the work, beside its progress.
        place: what the tiles are of, for the message.

    Returns:
        What `work` returned for each tile, in the order of `tiles`.

    Raises:
        InputError: a tile failed.
    """
    found: dict[str, Any] = {}
    for tile, result, problem in track(run_tasks(work, shared, tiles, compute, twice=True), len(tiles), name):
        if problem is not None:
            raise InputError(f"{place}: {name}: tile {tile.id} failed: {problem}; run the job again")
        found[tile.id] = result
    return [found[tile.id] for tile in tiles]
