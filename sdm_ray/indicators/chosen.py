"""The indicators that a configuration asks for, with the weights of a map's species."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.indicators.cells import Dominant, Endemism, Indicator, MeanTrait, WeightedSum
from sdm_ray.indicators.composition import Composition
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.disclosure import check_sums
from sdm_ray.indicators.diversity import Diversity, Lcbd
from sdm_ray.indicators.traits import read_list, read_ranges, read_traits
from sdm_ray.progress import say
from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher

Areas = NDArray[np.float64]


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
        InputError: a table or list cannot be used, or would show where a sensitive species is.
    """
    wanted, species = set(config.indicators), matcher.species
    hidden = sensitive_species(config, matcher)
    lists = listed_species(config, matcher)
    traits = [(table, read_traits(table, matcher)) for table in config.traits]
    sums = {"richness": np.ones(len(species), bool)} | {f"the list {name}": listed for name, listed in lists.items()}
    for table, values in traits:
        sums |= {f"the known {name} of {table.file}": np.isfinite(each) for name, each in values.items()}
    check_sums(sums, hidden, species)
    found: list[Indicator] = [WeightedSum("richness", "expected number of species", np.ones(len(species)))]
    if diversity := wanted & {"shannon", "simpson", "hill"}:
        found.append(Diversity(frozenset(diversity)))
    if "rarity_weighted_richness" in wanted:
        text = f"rarity-weighted richness: sum of probability / expected area in the map{_without(hidden)}"
        found.append(WeightedSum("rarity_weighted_richness", text, _inverse(areas, hidden), "km-2"))
    if "weighted_endemism" in wanted:
        found.append(_endemism(config, matcher, areas, hidden))
    for name, listed in lists.items():
        found.append(WeightedSum(f"richness_{name}", f"expected number of species of the list {name}", 1.0 * listed))
    for _, values in traits:
        found += [MeanTrait(name, each) for name, each in values.items()]
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


def published_species(config: IndicatorsConfig, matcher: SpeciesMatcher) -> NDArray[np.bool_]:
    """Which of a map's species may be in tables at all, (S,); tells how many may not."""
    found = np.isfinite(finest_resolutions(config, matcher))
    if not found.all():
        say(f"  {np.count_nonzero(~found)} of {len(found)} species are sensitive and in no table")
    return found


def _endemism(config: IndicatorsConfig, matcher: SpeciesMatcher, areas: Areas, hidden: NDArray[np.bool_]) -> Endemism:
    if config.range_areas is None:
        return Endemism(_inverse(areas, hidden), f"expected areas in the map{_without(hidden)}")
    ranges = read_ranges(config.range_areas, matcher)
    lacking = [name for name, known in zip(matcher.species, np.isfinite(ranges), strict=True) if not known]
    if lacking:
        say(f"  {config.range_areas.file}: has no range of {few(lacking, 3)}; weighted endemism is without them")
    return Endemism(_inverse(ranges, hidden), f"stated ranges{_without(hidden)}")


def _inverse(areas: Areas, hidden: NDArray[np.bool_]) -> Areas:
    """1 / area, 0 where a species has none or is sensitive: one of a small range would outweigh all others."""
    known = np.isfinite(areas) & (areas > 0) & ~hidden
    return np.where(known, 1 / np.where(known, areas, 1), 0)


def _without(hidden: NDArray[np.bool_]) -> str:
    return f", without {hidden.sum()} sensitive species" if hidden.any() else ""
