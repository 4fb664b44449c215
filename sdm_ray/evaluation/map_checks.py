"""Checks that a map may be scored at surveys: each cell comes from a model that held out its block or country."""

import json
from dataclasses import asdict

from upath import UPath

from sdm_ray.config import renamed
from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks, misfit
from sdm_ray.stores import artefact
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.maps import Map


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
    if holdout.countries is not None:
        _check_land(path, UPath(holdout.countries))
    elif (reason := misfit(holdout.blocks, found.grid)) is not None:
        raise InputError(f"{path}: {reason}")


def _check_blocks(path: UPath, blocks: object, expected: Blocks) -> None:
    """See that folds are the same."""
    theirs = renamed(blocks, {"select": "validation"})  # as maps of version 1 have it
    theirs = theirs if isinstance(theirs, dict) else {}
    for key, value in json.loads(json.dumps(asdict(expected))).items():  # lists for tuples, as in the map's attributes
        if theirs.get(key) != value:
            raise InputError(
                f"{path}: was cross-fitted with blocks.{key} = {theirs.get(key)}, expected {value} as configured"
            )


def _check_land(path: UPath, land: UPath) -> None:
    """See that countries are numbered alike: their folds follow from their numbers."""
    inputs = artefact.read_record(path).inputs
    if inputs and artefact.read_record(land).fingerprint not in inputs.values():
        raise InputError(f"{path}: was made with another land store than {land}, whose countries have other numbers")
