"""The job `sample`: where to survey next, under a budget."""

from typing import Any

import numpy as np
import pandas as pd
import shapely
from sklearn.neighbors import NearestNeighbors

from sdm_ray.geo.codes import eea_code
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.job import Job
from sdm_ray.plots.sites import site_picture
from sdm_ray.progress import say
from sdm_ray.stores.artefact import read_record, write_sources
from sdm_ray.stores.geoparquet import write_geoparquet
from sdm_ray.survey_design.cells import Cells, Study, read_cells, read_study
from sdm_ray.survey_design.choice import Candidates, Choice, Demand, Limits, choose
from sdm_ray.survey_design.config import SampleConfig

_NAMED = 2  # covariates that a reason names


def run(config: SampleConfig, job: Job) -> dict[str, Any]:
    """Write `sites.csv`, `sites.parquet`, `candidates.parquet` (GeoParquet, gain of every compared cell) and a picture.

    Raises:
        InputError: an input was made anew since the map, or no cell may be surveyed.
    """
    study = read_study(config)
    cells = read_cells(config, study)
    index = study.applicability
    points = index.scaled(cells.values) / index.mean_distance
    searched = NearestNeighbors(n_neighbors=1).fit(index.points / index.mean_distance)
    novelty, nearest = (each[:, 0] for each in searched.kneighbors(points))
    drawn = np.random.default_rng(config.seed).permutation(len(points))[: config.demand]
    demand = Demand(points[drawn], novelty[drawn], cells.uncertainty[drawn])
    limits = Limits(config.sites, config.budget or np.inf, config.apart_m)
    choice = choose(Candidates(points, cells.cost, cells.xy), demand, limits)
    away = points[choice.rows] - index.points[nearest[choice.rows]] / index.mean_distance
    table = site_table(study, cells, choice, (novelty, away))
    sources = read_record(study.map.path).sources
    (job.output / "sites.csv").write_text(table.to_csv(index=False))
    write_geoparquet(job.output / "sites.parquet", table, shapely.points(cells.xy[choice.rows]), sources)
    every = {"gain": choice.first, "uncertainty": cells.uncertainty, "novelty": novelty, "cost": cells.cost}
    write_geoparquet(job.output / "candidates.parquet", pd.DataFrame(every), shapely.points(cells.xy), sources)
    write_sources(job.output, sources)
    picture = site_picture(
        (cells.xy, novelty), cells.xy[choice.rows], study.surveys, "Where to survey next", "dissimilarity to surveys"
    )
    place = job.output / "sites.png"
    place.write_bytes(picture)
    job.tracker.picture(place)
    spent = float(cells.cost[choice.rows].sum())
    left = f"{1 - choice.gain.sum():.0%} of the cells' dissimilarity to surveys"
    say(f"sample: {len(table)} sites at a cost of {spent:g} leave {left}; {job.output / 'sites.csv'}")
    return {"sites": len(table), "cost": spent, "candidates": len(points), "gain": float(choice.gain.sum())}


def site_table(study: Study, cells: Cells, choice: Choice, to_surveys: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """One row for each site in the order of choice, with the reason of its choice.

    Args:
        study: the map and its surveys.
        cells: that were compared.
        choice: among them.
        to_surveys: dissimilarity of every cell to surveys (N,), and how far each site is from its nearest survey, in
            standardised and weighted covariates, (K, U).
    """
    novelty, away = to_surveys
    xy = cells.xy[choice.rows]
    lon, lat = to_lonlat(*xy.T)
    resolution = study.map.grid.resolution
    cost = cells.cost[choice.rows]
    return pd.DataFrame({
        "rank": np.arange(1, len(xy) + 1),
        "lon": lon.round(6),
        "lat": lat.round(6),
        "x": xy[:, 0],
        "y": xy[:, 1],
        "cell": [eea_code(x, y, resolution) for x, y in xy],
        "gain": choice.gain.round(6),
        "uncertainty": cells.uncertainty[choice.rows].round(6),
        "novelty": novelty[choice.rows].round(4),
        "cost": cost,
        "cost_so_far": cost.cumsum(),
        "reason": reasons(study, cells, choice, away),
    })  # fmt: skip


def reasons(study: Study, cells: Cells, choice: Choice, away: np.ndarray) -> list[str]:
    """Why each site: its gain, where its uncertainty stands among the cells, and in what it differs from surveys.

    It differs from the nearest survey most in the named covariates, by the given standard deviations of the surveys.
    """
    used = np.array(study.covariates.names)[study.applicability.used]
    weights, scale = study.applicability.weights, study.applicability.mean_distance
    ranked = np.sort(cells.uncertainty)
    found = []
    for row, gain, step in zip(choice.rows, choice.gain, away, strict=True):
        share = np.searchsorted(ranked, cells.uncertainty[row], side="right") / len(ranked)
        largest = np.argsort(-np.abs(step))[:_NAMED]
        differs = ", ".join(
            f"{used[each]} {step[each] * scale / weights[each]:+.1f} sd" for each in largest if step[each]
        )
        unsure = f"more uncertain than {share:.0%} of the cells; " if np.ptp(ranked) else ""
        near = f"from the nearest survey: {differs or 'the same covariates'}"
        found.append(f"takes {gain:.1%} of the cells' dissimilarity; {unsure}{near}")
    return found
