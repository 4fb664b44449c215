"""Layers that are published together do not show where a sensitive species is."""

import numpy as np
import pytest

from sdm_ray.errors import InputError
from sdm_ray.indicators.cells import needs_of
from sdm_ray.indicators.chosen import indicators_of
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.disclosure import check_sums
from sdm_ray.indicators.sums import CellSums
from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher

OTHERS = [f"Ficta species{letter}" for letter in "abcdefghij"]
SPECIES = [*OTHERS, "Taxus baccata"]


def made(areas=None, **values):
    config = IndicatorsConfig(sensitive={"Taxus baccata": None}, **values)
    return indicators_of(config, SpeciesMatcher(SPECIES), np.ones(11) if areas is None else areas, lambda: None)


@pytest.mark.parametrize(
    ("lists", "line"),
    [
        ({"few": [*OTHERS[:3], "Taxus baccata"]}, "the list few counts 4 species of the map and Taxus baccata is one"),
        ({"others": OTHERS}, "richness and the list others differ by 1 species of the map and Taxus baccata is one"),
        (
            {"a": [*OTHERS[:5], "Taxus baccata"], "b": OTHERS[:6]},
            "the list a and the list b differ by 2 species of the map and Taxus baccata is one",
        ),
    ],
)
def test_lists_whose_sums_or_differences_show_a_sensitive_species(lists, line):
    with pytest.raises(InputError, match=f"sensitive: {line} of them"):
        made(indicators=[], lists={name: {"species": species} for name, species in lists.items()})


@pytest.mark.parametrize("known", [["Taxus baccata"], OTHERS])
def test_traits_whose_coverage_shows_a_sensitive_species(tmp_path, known):
    table = tmp_path / "traits.csv"
    table.write_text("species,height\n" + "".join(f"{name},15\n" for name in known))
    with pytest.raises(InputError, match=r"the known height of .*traits\.csv .* 1 species of the map and Taxus"):
        made(indicators=[], traits=[{"file": str(table), "columns": ["height"]}])


def test_sums_over_enough_species_or_none_that_is_sensitive_are_fine():
    sums = {"richness": np.ones(11, bool), "a": np.arange(11) > 4, "b": np.arange(11) < 2}
    check_sums(sums, np.arange(11) == 10, SPECIES)
    made(indicators=[], lists={"a": {"species": SPECIES[5:]}, "b": {"species": OTHERS[:2]}})


def test_a_narrow_sensitive_species_does_not_make_up_rarity_and_endemism():
    """One of 3 km2 among others of 50,000 km2 would be all that their sums show."""
    areas = np.full(11, 50_000.0)
    areas[-1] = 3
    indicators = made(areas, indicators=["rarity_weighted_richness", "weighted_endemism"])
    p = np.random.default_rng(0).uniform(0, 0.6, (11, 100)).astype(np.float32)
    sums = CellSums(needs_of(indicators, 11), 100)
    sums.add(p.copy(), slice(0, 11))
    for each in indicators[1:]:
        values = next(iter(each.values(sums).values()))
        np.testing.assert_allclose(values, p[:-1].sum(axis=0) / 50_000, rtol=1e-5)
