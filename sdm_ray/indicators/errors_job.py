"""The job `errors`: the error model of a species model, from its held-out predictions, and how far it can be trusted.

Intervals of each fold are checked with an error model that was fitted on the other folds; the one that is written is
fitted on all.
"""

from typing import Any

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.config import renamed
from sdm_ray.errors import InputError
from sdm_ray.evaluation.held_out_data import map_at, map_species, read_held_out
from sdm_ray.geo.blocks import Blocks, fold
from sdm_ray.indicators.error_model import ErrorModel, summary, write_error_model
from sdm_ray.indicators.errors_config import ErrorsConfig
from sdm_ray.indicators.joint_calibrate import calibrated
from sdm_ray.indicators.joint_coverage import CoverageSettings, coverage
from sdm_ray.indicators.joint_fit import FitSettings, HeldOut, fit_error_model
from sdm_ray.job import Job
from sdm_ray.metrics.probability_kind import require_levels
from sdm_ray.progress import say
from sdm_ray.stores.maps import Map

_FEWEST = 50  # surveys of a fold, below which its intervals are not checked


def run(config: ErrorsConfig, job: Job) -> dict[str, Any]:
    """Fit and check the error model; writes it with `coverage.csv`.

    Raises:
        InputError: the map is not cross-fitted by blocks, holds relative suitabilities, or has values at too few
            surveys.
    """
    place = config.path(config.map)
    blocks = _blocks(place)
    species = map_species(place)
    surveys, _ = read_held_out(config.path(config.surveys), species, blocks, None)
    predicted = map_at(place, surveys.x, surveys.y, species)
    known = np.isfinite(predicted).all(axis=1)
    data = HeldOut(surveys.x, surveys.y, predicted, surveys.labels).rows(known)
    say(f"errors: {known.sum()} of {len(known)} surveys lie in cells of {place}, {len(species)} species")
    if len(data.x) < 2 * _FEWEST:
        raise InputError(f"{place}: has values at {len(data.x)} surveys; expected at least {2 * _FEWEST}")
    settings = _settings(config)
    table = _coverage(config, data, blocks, species, settings)
    model = calibrated(fit_error_model(data, species, settings), data, config.level, seed=config.seed)
    (job.output / "coverage.csv").write_text(table.round(4).to_csv(index=False))
    shares = summary(model)
    about = {"level": config.level, "surveys": len(data.x), "variance_by_range": shares}
    write_error_model(job.output, model, about | {"held_out_blocks_m": blocks.size_m})
    for line in [*_lines(table, config.level), _shares(model)]:
        say(f"errors: {line}")
    rows = table[table["intervals"] > 0].to_dict("records")
    figures = {f"coverage of {row['quantity']} at {row['zone_km']:g} km": row["joint"] for row in rows}
    return {"surveys": len(data.x), "species": len(species), **figures}


def _blocks(place: UPath) -> Blocks:
    """How the map's models held surveys out."""
    found = Map(place)
    require_levels(f"{place}: intervals", found.probability_kind)
    if not found.attrs.get("crossfitted") or found.attrs.get("held_out") != "blocks":
        raise InputError(
            f"{place}: its models saw the surveys that their errors are to be measured at; expected a map made with"
            " `crossfit: true` by a model of held-out blocks"
        )
    values = renamed(found.attrs["blocks"], {"select": "validation"})
    return Blocks(**values | {"origin": tuple(values["origin"])})


def _settings(config: ErrorsConfig) -> FitSettings:
    ranges = tuple(1000 * each for each in sorted(config.ranges_km))
    return FitSettings(
        (*ranges, float("inf")) if config.constant else ranges, config.factors, config.pairs, config.seed
    )


def _coverage(
    config: ErrorsConfig, data: HeldOut, blocks: Blocks, species: list[str], settings: FitSettings
) -> pd.DataFrame:
    """Coverage on each fold of intervals from the others."""
    number = fold(data.x, data.y, blocks)
    folds = [each for each in range(blocks.folds) if _FEWEST <= (number == each).sum() <= len(number) - _FEWEST]
    if not folds:
        raise InputError(
            f"{config.path(config.map)}: no fold of {blocks.size_m / 1000:g}-km blocks has {_FEWEST} surveys and leaves"
            " as many to the others; intervals cannot be checked"
        )
    zones = tuple(1000 * each for each in config.zones_km)
    how = CoverageSettings(zones, config.level, config.draws, config.seed)
    parts = [(data.rows(number != each), data.rows(number == each)) for each in folds]
    return coverage([each for each, _ in parts], [each for _, each in parts], species, settings, how)


def _lines(table: pd.DataFrame, level: float) -> list[str]:
    return [
        f"{row['zone_km']:g} km, {row['quantity']}: {row['joint']:.1%} of {row['intervals']} intervals hold"
        f" (nominal {level:.0%}, independent errors {row['independent']:.1%})"
        for row in table.to_dict("records")
        if row["intervals"]
    ]


def _shares(model: ErrorModel) -> str:
    return "share of a species' latent variance: " + ", ".join(f"{k} {v:.1%}" for k, v in summary(model).items())
