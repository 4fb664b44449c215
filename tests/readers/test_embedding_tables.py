"""Tables with an embedding of each survey, in the forms that GeoPlant's may have."""

import numpy as np
import pandas as pd
import pytest
from helpers.embedding_files import unit_bytes

from sdm_ray.errors import InputError
from sdm_ray.readers.alphaearth import dequantised
from sdm_ray.readers.config import EmbeddingTable
from sdm_ray.readers.embedding_tables import joined, read_embeddings

STORED = unit_bytes(1, 5)[:, 0].T  # (5, 64)
VALUES = dequantised(STORED)
IDS = [11, 212, 3, 4, 50]


def entry(path, **settings):
    return EmbeddingTable(**({"name": "alphaearth", "table": str(path)} | settings))


def written(path, names, values, **further):
    table = pd.DataFrame(dict(zip(names, values.T, strict=True)))
    table.insert(0, "surveyId", IDS)
    table.assign(**further).to_parquet(path)
    return path


@pytest.mark.parametrize(
    "names",
    [[f"A{i:02d}" for i in range(64)], [f"embedding_{i}" for i in range(64)], [str(i) for i in range(64)]],
    ids=["A00", "embedding_0", "0"],
)
def test_columns_that_differ_by_a_number_are_the_components(tmp_path, names):
    shuffled = np.random.default_rng(0).permutation(64)  # their numbers say the order, not their places
    path = written(tmp_path / "a.parquet", [names[i] for i in shuffled], VALUES[:, shuffled], lon=1.0, year=2020)
    found, source = read_embeddings(entry(path))
    assert list(found.index) == ["11", "212", "3", "4", "50"] and found.columns[-1] == "A63"
    np.testing.assert_array_equal(found.to_numpy(), VALUES)
    assert (source.version, source.year) == ("v1", None)


def test_lists_and_bytes(tmp_path):
    lists = pd.DataFrame({"surveyId": IDS, "embedding": list(VALUES)})
    lists.to_parquet(tmp_path / "lists.parquet")
    stored = written(tmp_path / "bytes.parquet", [f"A{i:02d}" for i in range(64)], STORED)
    for path in (tmp_path / "lists.parquet", stored):
        np.testing.assert_array_equal(read_embeddings(entry(path))[0].to_numpy(), VALUES)


def test_surveys_get_their_own_and_lack_is_counted(tmp_path):
    path = written(tmp_path / "a.parquet", [f"A{i:02d}" for i in range(64)], VALUES)
    surveys = pd.DataFrame({"lon": [1.0, 2.0, 3.0]}, index=[7, 8, 9])
    ids = pd.Series(["3", "999", "11"], index=surveys.index)
    found, sources, lacking = joined(surveys, ids, [entry(path, year=2021)], "covariate:")
    np.testing.assert_array_equal(found["covariate:A05"], [VALUES[2, 5], np.nan, VALUES[0, 5]])
    assert lacking == {"surveys_without_alphaearth": 1} and str(sources[0]) == "alphaearth v1 of 2021"
    with pytest.raises(InputError, match="has none of the 3 surveys, such as x"):
        joined(surveys, pd.Series(["x", "y", "z"], index=surveys.index), [entry(path)])
    with pytest.raises(InputError, match="holds alphaearth v1 of 2021 and alphaearth v2 of 2021"):
        joined(surveys, ids, [entry(path, year=2021), entry(path, year=2021, version="v2")])


def test_what_is_no_embedding_is_named(tmp_path):
    names = [f"A{i:02d}" for i in range(64)]
    wrong = written(tmp_path / "scaled.parquet", names, STORED.astype(np.float32))
    with pytest.raises(InputError, match=r"a length of .* expected 1, or bytes"):
        read_embeddings(entry(wrong))
    few = written(tmp_path / "few.parquet", names[:10], VALUES[:, :10])
    with pytest.raises(InputError, match="10 columns of components, expected the 64 of AlphaEarth"):
        read_embeddings(entry(few))
    twice = pd.read_parquet(written(tmp_path / "ok.parquet", names, VALUES)).assign(surveyId=[1, 1, 2, 3, 4])
    twice.to_parquet(tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="surveyId 1 stands in two rows"):
        read_embeddings(entry(tmp_path / "twice.parquet"))
    pd.DataFrame({"surveyId": IDS, "a": 1.0, "b": 2.0}).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="found a, b; name the components' columns"):
        read_embeddings(entry(tmp_path / "none.parquet"))
