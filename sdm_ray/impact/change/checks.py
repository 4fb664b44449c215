"""Whether maps can be compared: one grid, one list of species, probabilities with levels."""

from collections.abc import Mapping

from sdm_ray.errors import InputError
from sdm_ray.impact.change.config import ChangeConfig
from sdm_ray.metrics.probability_kind import require_levels
from sdm_ray.stores.maps import Map, baseline


def open_maps(config: ChangeConfig) -> Mapping[str, Map]:
    """Open the maps of a job, by label, the first being the one that the others are compared with.

    Raises:
        InputError: as `require_comparable`, or `scenarios` is a map of one.
    """
    if config.scenarios is None:
        return require_comparable({label: Map(config.path(name)) for label, name in config.maps.items()})
    place = config.path(config.scenarios)
    labels = baseline(place).scenarios
    if not labels:
        raise InputError(f"scenarios: {place}: has no axis of scenarios; expected one made with `scenarios`")
    return require_comparable({label: Map(place, scenario=label) for label in labels})


def require_comparable(opened: Mapping[str, Map]) -> Mapping[str, Map]:
    """Check maps that are to be compared with the first of them; returns them.

    Args:
        opened: label -> map.

    Raises:
        InputError: one differs in grid, species or kind of probability, or holds relative suitabilities.
    """
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
