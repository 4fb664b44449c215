"""What the artefacts behind a map say: configurations, sources, figures, folds and scores, gathered from their records.

An input that is not there any more leaves its facts out; what follows from it is then the author's to say.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.documentation.unsurveyed import unsurveyed_countries
from sdm_ray.errors import InputError, few
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.model_io import SpeciesFolder, read_species_folder
from sdm_ray.stores.artefact import Record, find_record
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import Map, baseline
from sdm_ray.stores.raster import open_group
from sdm_ray.stores.surveys import read_surveys


@dataclass(frozen=True)
class Surveys:
    """A summary of surveys.

    Attributes:
        count: number of surveys.
        presences: surveys with each of the map's species, (S,).
        years: first and last; None where no survey states one.
        uncertainty_m: median uncertainty of the coordinates; None where no survey states one.
    """

    count: int
    presences: np.ndarray
    years: tuple[int, int] | None
    uncertainty_m: float | None


@dataclass(frozen=True)
class Facts:
    """What is known of a map.

    Attributes:
        title: of the map.
        map: the map.
        record: its record.
        records: name of each input, and of each input's inputs -> its record.
        model: description of the model; None where its folder is not there.
        metrics: figures of the model's training.
        surveys: those that the model was trained on.
        covariates: the model's; None where it has none.
        countries: countries of the land store that the map was limited to, or all.
        unsurveyed: country without any survey -> cells of the map in it.
        evaluation: figures of the evaluation; empty without one.
    """

    title: str
    map: Map
    record: Record
    records: dict[str, Record] = field(default_factory=dict)
    model: SpeciesFolder | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    surveys: Surveys | None = None
    covariates: Covariates | None = None
    countries: list[str] = field(default_factory=list)
    unsurveyed: dict[str, int] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)

    @property
    def scenario(self) -> object:
        """Settings of the scenario, or of the scenarios, of the map; nothing where it has none."""
        return self.record.config.get("scenario") or self.record.config.get("scenarios")

    @property
    def species(self) -> list[str]:
        """Names of the mapped species."""
        return [str(name) for name in self.map.species["name"]]

    @property
    def no_data(self) -> str:
        """The countries of the map in which its surveys have no data, in one sentence; "" where there are none."""
        if not self.unsurveyed:
            return ""
        shown = [f"{name} ({cells} cells)" for name, cells in self.unsurveyed.items()]
        return f"no survey at all in {few(shown, 12)}: there the model extrapolates from other countries"

    @property
    def layers(self) -> list[str]:
        """Names of the quality layers."""
        return list(self.map.layers())

    @property
    def training(self) -> dict[str, Any]:
        """Configuration of `finetune`; empty where the model's record is not there."""
        found = self.records.get(str(self.record.config.get("model")))
        return found.config if found else {}

    def record_of(self, key: str) -> Record | None:
        """Record of the input that a key of the map's or of the model's configuration names."""
        name = self.training.get(key) or self.record.config.get(key)
        name = name.get("cube") if isinstance(name, dict) else name
        return self.records.get(str(name))

    @property
    def lonlat(self) -> tuple[float, float, float, float]:
        """West, south, east and north of the map, degrees."""
        west, south, east, north = self.map.grid.bounds
        lon, lat = to_lonlat(*np.array([[x, y] for x in np.linspace(west, east, 9) for y in (south, north)]).T)
        return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def gather(place: UPath, record: Record, resolve: Callable[[str], UPath], evaluation: UPath | None = None) -> Facts:
    """The facts of a map.

    Args:
        place: of the map.
        record: of the map, which may not be sealed yet.
        resolve: the place of an artefact by its name.
        evaluation: of the model's cross-fitted map.

    Raises:
        InputError: the evaluation has no figures.
    """
    found = baseline(place)
    title = str(open_group(place).attrs.get("title", "")) or place.name
    records = _records(record, resolve)
    model_place = resolve(str(record.config.get("model", "")))
    known = str(record.config.get("model")) in records
    model = read_species_folder(model_place) if known else None
    metrics = json.loads((model_place / "metrics.json").read_text()) if known else {}
    config = records[str(record.config["model"])].config if known else {}
    surveys = str(config.get("surveys") or record.config.get("surveys") or "")
    covariates = str(record.config.get("covariates") or config.get("covariates") or "")
    land = str(record.config.get("land") or "")
    countries = Land(resolve(land)) if land in records else None
    return Facts(
        title=title,
        map=found,
        record=record,
        records=records,
        model=model,
        metrics=metrics,
        surveys=_surveys(resolve(surveys), found.species["name"]) if surveys in records else None,
        covariates=_covariates(resolve(covariates), model) if covariates in records else None,
        countries=record.config.get("countries") or (countries.countries[1:] if countries is not None else []),
        unsurveyed={} if countries is None else unsurveyed_countries(found, countries),
        evaluation={} if evaluation is None else _evaluation(evaluation),
    )


def _records(record: Record, resolve: Callable[[str], UPath]) -> dict[str, Record]:
    """Records of the inputs, and of theirs, as far as they are there with the fingerprint that was read."""
    found: dict[str, Record] = {}
    waiting = dict(record.inputs)
    while waiting:
        name, fingerprint = waiting.popitem()
        file = name.startswith(("http://", "https://"))  # of a source, not an artefact
        each = None if file or name in found else _readable(resolve(name))
        if each is not None and each.fingerprint == fingerprint:
            found[name] = each
            waiting |= each.inputs
    return found


def _readable(place: UPath) -> Record | None:
    """A record; None where there is none that can be read, such as one of a source file or of an older release."""
    try:
        return find_record(place)
    except (InputError, OSError):
        return None


def _surveys(place: UPath, names: pd.Series) -> Surveys:
    table, species = read_surveys(place)
    counted = np.bincount(np.concatenate(table["species"].to_numpy()).astype(np.int64), minlength=len(species))
    presences = pd.Series(counted, species["name"]).reindex(names).fillna(0).to_numpy(np.int64)
    years = pd.to_numeric(table["year"], errors="coerce")
    years = years[years > 0]
    uncertainty = pd.to_numeric(table["uncertainty_m"], errors="coerce").median()
    span = (int(years.min()), int(years.max())) if len(years) else None
    return Surveys(len(table), presences, span, None if pd.isna(uncertainty) else float(uncertainty))


def _covariates(place: UPath, model: SpeciesFolder | None) -> Covariates | None:
    if model is None or not model.config.covariates:
        return None
    return Covariates(place).select(model.config.covariates)


def _evaluation(place: UPath) -> dict[str, Any]:
    file = place / "metrics.json"
    if not file.exists():
        raise InputError(f"{file}: no such file; expected an artefact of `evaluate`")
    figures: dict[str, Any] = json.loads(file.read_text())
    return figures
