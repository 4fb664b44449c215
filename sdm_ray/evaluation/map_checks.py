"""Checks that a map may be scored at surveys: each cell comes from a model that held out its block or country."""

import json
from dataclasses import asdict

from pydantic import TypeAdapter
from upath import UPath

from sdm_ray.config import renamed
from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks
from sdm_ray.stores.holdout import HoldOut, check_cells
from sdm_ray.stores.holdout_config import HeldOutBlocks
from sdm_ray.stores.maps import Map

_BLOCKS: TypeAdapter[Blocks] = TypeAdapter(HeldOutBlocks)


def require_held_out(path: UPath, holdout: HoldOut) -> None:
    """See that the models of a cross-fitted map held out what the evaluation holds out.

    Args:
        path: of the map.
        holdout: blocks or countries that the evaluation holds out together.

    Raises:
        InputError: the map is not cross-fitted, or held out something else, other folds or countries of another land
            store; or edges of blocks cut its cells.
    """
    found = Map(path)
    expected = "blocks" if holdout.countries is None else "countries"
    if not found.attrs.get("crossfitted"):
        raise InputError(
            f"{path}: is not cross-fitted, so that its model was trained on the surveys to score it on; expected a map"
            " made with `crossfit: true`"
        )
    if (held_out := found.attrs.get("held_out")) != expected:
        raise InputError(
            f"{path}: its models held out {held_out or 'what the map does not record'}, expected {expected}"
        )
    _check_blocks(path, found.attrs.get("blocks"), holdout.blocks)
    check_cells(path, holdout, found.grid)


def blocks_of(path: UPath) -> Blocks:
    """How the models of a map held places out; the defaults where the map does not record it."""
    found = Map(path).attrs.get("blocks")
    return _BLOCKS.validate_python(found) if isinstance(found, dict) else Blocks()


def _check_blocks(path: UPath, blocks: object, expected: Blocks) -> None:
    """See that folds are the same."""
    theirs = renamed(blocks, {"select": "validation"})  # as maps of version 1 have it
    theirs = theirs if isinstance(theirs, dict) else {}
    for key, value in json.loads(json.dumps(asdict(expected))).items():  # lists for tuples, as in the map's attributes
        if theirs.get(key) != value:
            raise InputError(
                f"{path}: was cross-fitted with blocks.{key} = {theirs.get(key)}, expected {value} as configured"
            )
