"""Whether maps can be compared: one grid, one list of species, probabilities with levels."""

from collections.abc import Mapping

from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.metrics.probability_kind import require_levels
from sdm_ray.stores.maps import Map


def require_comparable(maps: Mapping[str, UPath]) -> dict[str, Map]:
    """Open maps that are to be compared with the first of them.

    Args:
        maps: label -> place.

    Raises:
        InputError: one differs in grid, species or kind of probability, or holds relative suitabilities.
    """
    opened = {label: Map(place) for label, place in maps.items()}
    first = next(iter(opened.values()))
    names = first.species["name"].tolist()
    require_levels(f"{first.path}: change", first.probability_kind)
    for other in list(opened.values())[1:]:
        if other.grid != first.grid:
            raise InputError(f"{other.path}: has {_grid(other)}; {first.path} has {_grid(first)}; expected one grid")
        theirs = other.species["name"].tolist()
        if theirs != names:
            raise InputError(f"{other.path}: {_difference(theirs, names)} {first.path}; expected the same species")
        if other.probability_kind != first.probability_kind:
            raise InputError(
                f"{other.path}: holds probabilities of kind '{other.probability_kind}', {first.path} of kind"
                f" '{first.probability_kind}'; expected the same"
            )
    return opened


def _grid(found: Map) -> str:
    west, south, east, north = (f"{edge:.0f}" for edge in found.grid.bounds)
    return f"cells of {found.grid.resolution:g} m from {west}, {south} to {east}, {north}"


def _difference(theirs: list[str], names: list[str]) -> str:
    """How a list of species differs from another."""
    if more := sorted(set(theirs) - set(names)):
        return f"has {len(more)} species, such as {more[0]!r}, that are not in"
    if missing := sorted(set(names) - set(theirs)):
        return f"lacks {len(missing)} species, such as {missing[0]!r}, of"
    return "has its species in another order than"
