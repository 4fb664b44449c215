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
from sdm_ray.stores.artefact import read_record
from sdm_ray.stores.geoparquet import write_geoparquet
from sdm_ray.survey_design.cells import Cells, Study, read_cells, read_study
from sdm_ray.survey_design.choice import Candidates, Choice, Limits, choose, gain
from sdm_ray.survey_design.config import SampleConfig

_NAMED = 2  # covariates that a reason names


def run(config: SampleConfig, job: Job) -> dict[str, Any]:
    """Write `sites.csv`, `sites.parquet`, `candidates.parquet` (GeoParquet, gain of every compared cell) and a picture.

    Raises:
        InputError: an input was made anew since the map, or no cell may be surveyed.
    """
    study = read_study(config)
    cells = read_cells(config, study)
    points = study.applicability.scaled(cells.values)
    searched = NearestNeighbors(n_neighbors=1).fit(study.applicability.points)
    distance, nearest = (each[:, 0] for each in searched.kneighbors(points))
    novelty = distance / study.applicability.mean_distance
    limits = Limits(config.sites, config.budget or np.inf, config.apart_m)
    between = points / study.applicability.mean_distance
    choice = choose(Candidates(between, cells.uncertainty, cells.cost, cells.xy), novelty, limits)
    away = points[choice.rows] - study.applicability.points[nearest[choice.rows]]
    table = site_table(study, cells, choice, away)
    sources = read_record(study.map.path).sources
    (job.output / "sites.csv").write_text(table.to_csv(index=False))
    write_geoparquet(job.output / "sites.parquet", table, shapely.points(cells.xy[choice.rows]), sources)
    gains = gain(cells.uncertainty, novelty, cells.cost)
    every = pd.DataFrame({"gain": gains, "uncertainty": cells.uncertainty, "novelty": novelty, "cost": cells.cost})
    write_geoparquet(job.output / "candidates.parquet", every, shapely.points(cells.xy), sources)
    (job.output / "sources.txt").write_text("".join(f"{each}\n" for each in sources))
    picture = site_picture(
        (cells.xy, gains), cells.xy[choice.rows], study.surveys, "Where to survey next", "gain for its cost"
    )
    place = job.output / "sites.png"
    place.write_bytes(picture)
    job.tracker.picture(place)
    spent = float(cells.cost[choice.rows].sum())
    say(f"sample: {len(table)} sites, cost {spent:g} of {config.budget or np.inf:g}; {job.output / 'sites.csv'}")
    return {"sites": len(table), "cost": spent, "candidates": len(points), "gain": float(choice.gain.sum())}


def site_table(study: Study, cells: Cells, choice: Choice, away: np.ndarray) -> pd.DataFrame:
    """One row for each site in the order of choice, with the reason of its choice.

    Args:
        study: the map and its surveys.
        cells: that were compared.
        choice: among them.
        away: of the sites from their nearest surveys, in standardised and weighted covariates, (K, U).
    """
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
        "novelty": choice.novelty.round(4),
        "cost": cost,
        "cost_so_far": cost.cumsum(),
        "reason": reasons(study, cells, choice, away),
    })  # fmt: skip


def reasons(study: Study, cells: Cells, choice: Choice, away: np.ndarray) -> list[str]:
    """Why each site: where its uncertainty stands among the cells, and in what it differs most from surveys.

    A site that was chosen for its distance to surveys differs from the nearest one in the named covariates by the
    given standard deviations of the surveys.
    """
    used = np.array(study.covariates.names)[study.applicability.used]
    weights = study.applicability.weights
    ranked = np.sort(cells.uncertainty)
    found = []
    for row, step in zip(choice.rows, away, strict=True):
        share = np.searchsorted(ranked, cells.uncertainty[row], side="right") / len(ranked)
        largest = np.argsort(-np.abs(step))[:_NAMED]
        differs = ", ".join(f"{used[each]} {step[each] / weights[each]:+.1f} sd" for each in largest if step[each])
        unsure = f"more uncertain than {share:.0%} of the cells" if np.ptp(ranked) else "uncertainty not used"
        found.append(f"{unsure}; from the nearest survey: {differs or 'the same covariates'}")
    return found
