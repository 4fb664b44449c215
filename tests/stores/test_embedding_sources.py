"""Versions and years of embeddings are never mixed."""

import pytest

from sdm_ray.errors import InputError
from sdm_ray.stores.embedding_sources import (
    EmbeddingSource,
    expanded,
    from_text,
    require_one_of_each,
    require_same,
    to_text,
)


def source(version="v1", year=2021, name="alphaearth", covariates=("A00", "A01")):
    return EmbeddingSource(name=name, version=version, year=year, covariates=covariates)


def test_sources_survive_metadata():
    found = [source(), source(name="tessera", covariates=("tessera_000",), year=None)]
    assert from_text(to_text(found)) == found and from_text(None) == []


def test_the_name_stands_for_all_components():
    assert expanded(["rain", "alphaearth"], [source()]) == ["rain", "A00", "A01"]


@pytest.mark.parametrize("other", [source(version="v2"), source(year=2024), source(year=None)])
def test_one_artefact_holds_one_version_and_year(other):
    assert require_one_of_each([source(), source()], "x") == [source()]
    with pytest.raises(InputError, match="x: holds alphaearth v1 of 2021 and alphaearth v"):
        require_one_of_each([source(), other], "x")


def test_a_model_is_given_what_it_was_trained_on():
    require_same([source()], [source()], "c.zarr")
    require_same([], [source()], "c.zarr")
    require_same([source(year=None)], [source(year=2024)], "c.zarr")  # trained on many years
    for given in (source(version="v2"), source(year=2024), source(name="other")):
        with pytest.raises(InputError, match=r"c.zarr: holds .*; expected alphaearth v1 of 2021, which m was trained"):
            require_same([source()], [given], "c.zarr", ", which m was trained with")
    with pytest.raises(InputError, match=r"c.zarr: does not say which embedding its covariates come from"):
        require_same([source()], [], "c.zarr")
