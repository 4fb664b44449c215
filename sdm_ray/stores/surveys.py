"""Surveys on disk: one row is one visit to a place with the set of species seen.

`surveys.parquet` has `survey_id, lon, lat, year, uncertainty_m, species` and any further columns of its source, of
which `covariate:elevation` is a covariate called elevation;
`species.parquet` in the same folder has `species_id, name, gbif_key`. The kind of probability that models of these
surveys can give is written in the file, and so is the fingerprint of its species table, so that the numbers of one
study are never read with the names of another.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.checks import check_lonlat
from sdm_ray.stores.artefact import fingerprint
from sdm_ray.stores.embedding_sources import EmbeddingSource, from_text, to_text
from sdm_ray.stores.files import read_parquet, replacing
from sdm_ray.stores.labels import SparseLabels

ProbabilityKind = Literal["occurrence", "recorded", "relative"]
_COLUMNS = ("survey_id", "lon", "lat", "year", "uncertainty_m", "species")
COVARIATE = "covariate:"
"""What the name of a column begins with that describes a survey's place: numbers, or classes as text."""
_KIND = b"sdm_ray.probability_kind"
_SPECIES = b"sdm_ray.species"  # fingerprint of the species table that the numbers of a file refer to
_EMBEDDINGS = b"sdm_ray.embeddings"
_SWAPPED_SHARE = 0.01  # above this share of exchanged coordinates a table is refused as a whole


def write_surveys(
    path: UPath,
    surveys: pd.DataFrame,
    species: pd.DataFrame,
    kind: ProbabilityKind,
    embeddings: Sequence[EmbeddingSource] = (),
) -> None:
    """Check and write surveys and their species.

    Args:
        path: of `surveys.parquet`; `species.parquet` is written into the same folder.
        surveys: one row per survey; `species` holds lists of `species_id`.
        species: `species_id` (0, 1, ...), `name`, `gbif_key` (may be missing).
        kind: what a model of these surveys gives the probability of.
        embeddings: the precomputed embeddings that some covariates are components of.

    Raises:
        InputError: the tables cannot be used; the first fault is named.
    """
    check_surveys(surveys, species, str(path))
    table = pa.Table.from_pandas(surveys, preserve_index=False)
    place = table.schema.get_field_index("species")
    lists = pa.array(surveys["species"].tolist(), pa.list_(pa.int32()))
    table = table.set_column(place, pa.field("species", pa.list_(pa.int32())), lists)
    about = {_KIND: kind.encode(), _SPECIES: species_fingerprint(species).encode()}
    if embeddings:
        about[_EMBEDDINGS] = to_text(embeddings).encode()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about})
    species_table = pa.Table.from_pandas(species, preserve_index=False)
    _write(species_table, path.parent / "species.parquet")
    _write(table, path)


def read_surveys(path: UPath) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Surveys and species.

    Raises:
        InputError: a file is missing or no Parquet, the species are those of other surveys, or the tables cannot be
            used.
    """
    surveys = read_parquet(path).to_pandas()
    species = read_parquet(path.parent / "species.parquet").to_pandas()
    stated = _stated_species(path)
    if stated is not None and stated != species_fingerprint(species):
        raise InputError(
            f"{path.parent / 'species.parquet'}: holds other species than {path.name} was written with; run the "
            "`sdm-ray prepare` that writes it again"
        )
    check_surveys(surveys, species, str(path))
    return surveys, species


def species_fingerprint(species: pd.DataFrame) -> str:
    """A hash of the names and keys of a species table, in its order."""
    keys = species["gbif_key"].astype("Int64") if "gbif_key" in species else pd.Series(pd.NA, species.index)
    return fingerprint(species["name"].astype(str).tolist(), [None if pd.isna(each) else int(each) for each in keys])


def species_of(path: UPath) -> str | None:
    """Fingerprint of the species table that a file of surveys refers to; None where there is no such file."""
    if not path.exists():
        return None
    stated = _stated_species(path)
    species = path.parent / "species.parquet"
    if stated is None and species.exists():  # a file of an earlier release
        return species_fingerprint(read_parquet(species).to_pandas())
    return stated


def _stated_species(path: UPath) -> str | None:
    found = (read_parquet(path, columns=[]).schema.metadata or {}).get(_SPECIES)
    return found.decode() if found else None


def read_kind(path: UPath) -> ProbabilityKind:
    """What a model of these surveys gives the probability of.

    Raises:
        InputError: the file does not say.
    """
    found = (read_parquet(path, columns=[]).schema.metadata or {}).get(_KIND)
    if found not in (b"occurrence", b"recorded", b"relative"):
        raise InputError(f"{path}: does not say its probability_kind; write it with `sdm-ray prepare`")
    kind: ProbabilityKind = found.decode()
    return kind


def read_embeddings(path: UPath) -> list[EmbeddingSource]:
    """The precomputed embeddings that some covariates of the surveys' table are components of."""
    found = (read_parquet(path, columns=[]).schema.metadata or {}).get(_EMBEDDINGS)
    return from_text(found.decode() if found else None)


def countries_named(surveys: pd.DataFrame) -> NDArray[np.str_] | None:
    """Country that each survey names, "" for none, (N,); None where the table has no column `country`."""
    return surveys["country"].fillna("").to_numpy(str) if "country" in surveys else None


def labels_of(surveys: pd.DataFrame, species: pd.DataFrame) -> SparseLabels:
    """The surveys' species as sparse labels; the column of a species is its row in the species table."""
    return SparseLabels.from_lists(surveys["species"].tolist(), len(species))


def check_surveys(surveys: pd.DataFrame, species: pd.DataFrame, name: str) -> None:
    """Refuse tables that a model must not be trained on.

    Raises:
        InputError: a column is missing, the table is empty, coordinates are impossible or exchanged, a survey
            occurs twice, or a species is not in the species table.
    """
    missing = [column for column in _COLUMNS if column not in surveys]
    if missing:
        raise InputError(f"{name}: has no column {missing[0]}; found {', '.join(map(str, surveys.columns))}")
    if surveys.empty or species.empty:
        raise InputError(f"{name}: holds no {'surveys' if surveys.empty else 'species'}")
    lon, lat = (_numbers(surveys, column, name) for column in ("lon", "lat"))
    _check_coordinates(surveys, lon, lat, name)
    twice = surveys["survey_id"].duplicated()
    if twice.any():
        raise InputError(f"{name}: survey {surveys['survey_id'][twice].iloc[0]} occurs more than once")
    if not {"species_id", "name"} <= set(species.columns):
        raise InputError(f"{name}: species.parquet needs species_id and name; found {', '.join(species.columns)}")
    if not np.array_equal(species["species_id"].to_numpy(), np.arange(len(species))):
        raise InputError(f"{name}: species_id of species.parquet must count 0, 1, 2, ...")
    _check_species(surveys, len(species), name)


def _numbers(surveys: pd.DataFrame, column: str, name: str) -> np.ndarray:
    try:
        return surveys[column].to_numpy(np.float64, na_value=np.nan)
    except (ValueError, TypeError):
        wrong = surveys[pd.to_numeric(surveys[column], errors="coerce").isna()].iloc[0]
        raise InputError(
            f"{name}: survey {wrong.survey_id} has {column} {wrong[column]!r}, expected a number"
        ) from None


def _check_coordinates(surveys: pd.DataFrame, lon: np.ndarray, lat: np.ndarray, name: str) -> None:
    wrong = ~(np.abs(lon) <= 180) | ~(np.abs(lat) <= 90)
    if wrong.any():
        row = surveys[wrong].iloc[0]
        raise InputError(
            f"{name}: survey {row.survey_id} lies at lon {row.lon}, lat {row.lat}; expected longitude -180 to "
            "180 and latitude -90 to 90 (WGS84 degrees)"
        )
    swapped = check_lonlat(lon, lat)["swapped"]
    if len(swapped) > _SWAPPED_SHARE * len(surveys):
        row = surveys.iloc[swapped[0]]
        raise InputError(
            f"{name}: {len(swapped)} of {len(surveys)} surveys lie in Europe only with longitude and latitude "
            f"exchanged, first survey {row.survey_id} (lon {row.lon}, lat {row.lat})"
        )


def _check_species(surveys: pd.DataFrame, count: int, name: str) -> None:
    lists = surveys["species"]
    none = lists.isna()
    if none.any():
        raise InputError(f"{name}: survey {surveys['survey_id'][none].iloc[0]} has no list of species, not even empty")
    longest = np.array([len(each) for each in lists])
    every = np.concatenate([np.asarray(each, np.int64) for each in lists])
    wrong = np.flatnonzero((every < 0) | (every >= count))
    if len(wrong):
        survey = np.searchsorted(np.cumsum(longest), wrong[0], side="right")
        raise InputError(
            f"{name}: survey {surveys['survey_id'].iloc[survey]} holds species {every[wrong[0]]}, "
            f"species.parquet has 0 to {count - 1}"
        )


def _write(table: pa.Table, path: UPath) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft, draft.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
