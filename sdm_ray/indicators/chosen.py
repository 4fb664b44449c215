"""The indicators that a configuration asks for, with the weights of a map's species."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.indicators.cells import Dominant, Endemism, Indicator, MeanTrait, WeightedSum
from sdm_ray.indicators.composition import Composition
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.diversity import Diversity, Lcbd
from sdm_ray.indicators.traits import read_list, read_ranges, read_traits
from sdm_ray.progress import say
from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher

Areas = NDArray[np.float64]
_FEWEST_LISTED = 5  # species of a list with sensitive ones: of fewer, its richness would tell where they are


def indicators_of(
    config: IndicatorsConfig, matcher: SpeciesMatcher, areas: Areas, composition: Callable[[], Composition]
) -> list[Indicator]:
    """The indicators, richness first.

    Args:
        config: of the job.
        matcher: of the map's species.
        areas: expected area of each species in the map, km2, (S,).
        composition: makes the first pass over the map, which some indicators need.

    Raises:
        InputError: a table or list cannot be used.
    """
    wanted, species = set(config.indicators), matcher.species
    hidden = sensitive_species(config, matcher)
    found: list[Indicator] = [WeightedSum("richness", "expected number of species", np.ones(len(species)))]
    if diversity := wanted & {"shannon", "simpson", "hill"}:
        found.append(Diversity(frozenset(diversity)))
    if "rarity_weighted_richness" in wanted:
        text = "rarity-weighted richness: sum of probability / expected area in the map"
        found.append(WeightedSum("rarity_weighted_richness", text, _inverse(areas), "km-2"))
    if "weighted_endemism" in wanted:
        found.append(_endemism(config, matcher, areas))
    for name, listed in listed_species(config, matcher).items():
        if hidden[listed].any() and listed.sum() < _FEWEST_LISTED:
            secret = species[int(np.flatnonzero(hidden & listed)[0])]
            raise InputError(
                f"lists: {name} has {listed.sum()} of the map's species and {secret} is sensitive, so that its richness"
                f" would show where that species is; expected at least {_FEWEST_LISTED} species, or a list without it"
            )
        found.append(WeightedSum(f"richness_{name}", f"expected number of species of the list {name}", 1.0 * listed))
    for table in config.traits:
        found += [MeanTrait(name, values) for name, values in read_traits(table, matcher).items()]
    if "lcbd" in wanted:
        made = composition()
        found.append(Lcbd(made.sums / max(made.cells, 1), made.cells))
    if "dominant_species" in wanted:
        found.append(Dominant(hidden, species))
    names = [name for each in found for name in each.layers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"traits: two of them make a layer {twice[0]}; rename a column")
    return found


def listed_species(config: IndicatorsConfig, matcher: SpeciesMatcher) -> dict[str, NDArray[np.bool_]]:
    """Name of each list -> which of a map's species it has, (S,)."""
    return {name: read_list(name, each, matcher) for name, each in config.lists.items()}


def sensitive_species(config: IndicatorsConfig, matcher: SpeciesMatcher) -> NDArray[np.bool_]:
    """Which of a map's species are sensitive, (S,).

    Raises:
        InputError: none of the sensitive species is one of the map, which is more likely a mistake.
    """
    if not config.sensitive:
        return np.zeros(len(matcher.species), bool)
    number = matcher.matched(list(config.sensitive), "sensitive")
    return np.isin(np.arange(len(matcher.species)), number)


def finest_resolutions(config: IndicatorsConfig, matcher: SpeciesMatcher) -> NDArray[np.float64]:
    """Metres of the finest resolution of each species, 0 for any and infinite for none, (S,)."""
    found = np.zeros(len(matcher.species))
    if config.sensitive:
        finest = [np.inf if each is None else each for each in config.sensitive.values()]
        for number, each in zip(matcher.numbers(list(config.sensitive)), finest, strict=True):
            if number >= 0:
                found[number] = max(found[number], each)
    return found


def _endemism(config: IndicatorsConfig, matcher: SpeciesMatcher, areas: Areas) -> Endemism:
    if config.range_areas is None:
        return Endemism(_inverse(areas), "expected areas in the map")
    ranges = read_ranges(config.range_areas, matcher)
    lacking = [name for name, known in zip(matcher.species, np.isfinite(ranges), strict=True) if not known]
    if lacking:
        say(f"  {config.range_areas.file}: has no range of {few(lacking, 3)}; weighted endemism is without them")
    return Endemism(_inverse(ranges), "stated ranges")


def _inverse(areas: Areas) -> Areas:
    """1 / area, 0 where a species has none."""
    known = np.isfinite(areas) & (areas > 0)
    return np.where(known, 1 / np.where(known, areas, 1), 0)
