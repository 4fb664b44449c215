"""Artefacts that releases before wrote, opened by the readers of today: one of each kind and version.

What a check asserts was read from its artefact when it was made; see `tests/golden/make_golden.py`.
"""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from PIL import Image
from upath import UPath

from sdm_ray import jobs
from sdm_ray.config import load
from sdm_ray.evaluation import few_shot, report_sections, summary
from sdm_ray.evaluation.report import write_report
from sdm_ray.geo.windows import Window, whole
from sdm_ray.indicators.error_model import read_error_model
from sdm_ray.indicators.ranges import read_cuts
from sdm_ray.model_io import load_encoder, load_species_model, read_species_folder
from sdm_ray.predictor import load_model
from sdm_ray.readers.zone_polygons import read_zones
from sdm_ray.sources import prepare
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.embeddings import Embeddings
from sdm_ray.stores.formats import FORMATS
from sdm_ray.stores.land import Land
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map
from sdm_ray.stores.pyramid import COUNT
from sdm_ray.stores.raster import open_dataset
from sdm_ray.stores.series import Series
from sdm_ray.stores.shards import Shards
from sdm_ray.stores.surveys import labels_of, read_kind, read_surveys
from sdm_ray.training.finetune.config import FinetuneConfig

GOLDEN = Path(__file__).parents[1] / "golden"
FOUND = sorted(
    (int(folder.parent.name.removeprefix("v")), folder.name) for folder in GOLDEN.glob("v*/*") if folder.is_dir()
)
SPECIES = ["Ficta alba", "Ficta montana", "Ficta palustris", "Ficta sylvatica"]
PLACES = [(8.80, 49.10), (8.85, 49.05)]
WHOLE = Window(0, 0, 16, 16)
CHECKS: dict[tuple[int, str], Callable[[UPath], None]] = {}


def of_version(version: int):
    """Registers a check by its function's name, which is the kind's."""

    def register(check):
        CHECKS[version, check.__name__] = check
        return check

    return register


def close(found, expected) -> None:
    assert np.asarray(found, float) == pytest.approx(np.asarray(expected, float), rel=1e-4, abs=2e-4)


@of_version(1)
def surveys(folder):
    table, species = read_surveys(folder / "surveys.parquet")
    assert len(table) == 160 and species["name"].tolist() == SPECIES
    assert read_kind(folder / "surveys.parquet") == "occurrence"
    assert labels_of(table, species).counts(np.arange(160))[0].tolist() == [10, 26, 100, 29]
    assert set(table["country"]) == {"Northland", "Southland"}
    close(table[["lon", "lat"]].iloc[0], [8.7762, 49.1063])
    others, _ = read_surveys(folder / "occurrences.parquet")
    assert read_kind(folder / "occurrences.parquet") == "relative" and len(others) == 12
    assert others["species"].iloc[1].tolist() == [1]


@of_version(1)
def parcels(folder):
    found = read_zones(str(folder / "parcels.parquet"))
    assert found.table["cleared"].astype(int).sum() == 8 and len(found.shapes) > 16
    assert {"parcel", "forest", "moisture", "temperature_c", "elevation_m"} < set(found.table)
    close(found.shapes[0].area, 1_000_000)


@of_version(1)
def land(folder):
    store = Land(folder / "land.zarr")
    assert store.countries == ["", "Northland", "Southland"] and store.grid.resolution == 1000
    assert store.land().shape == (16, 16) and store.land().sum() == 205
    assert np.bincount(store.country().ravel()).tolist() == [51, 110, 95]


@of_version(1)
def covariates(folder):
    store = Covariates(folder / "covariates.zarr")
    assert store.names == ["temperature_c", "moisture", "elevation_m"]
    assert store.grid.shape == (8, 8) and store.effective_resolution_m == 2000
    close(store.mean, [7.7942, 0.5261, 441.2803])
    values, known = store.at(*store.grid.centre(np.array([0]), np.array([7])))
    assert known.all()
    close(values[0], [7.3079, 0.3763, 735.2857])


@of_version(1)
def cube(folder):
    store = Cube(folder / "cube.zarr")
    assert store.bands == ["blue", "green", "red", "nir"] and store.times == ["2024-summer"]
    pixels = store.read(whole(store.grid))
    assert pixels.shape == (4, 64, 64) and pixels[:, 10, 40].tolist() == [376, 660, 502, 4337]
    assert store.valid_count(Window(0, 0, 1, 2)).tolist() == [[6, 6]]


@of_version(1)
def shards(folder):
    store = Shards(folder / "shards")
    rows = store.of_scale("plant")
    assert store.index["shard"].tolist() == [0, 0, 0, 0, 1, 1]
    pictures = [Image.open(io.BytesIO(each)) for each in store.read(rows)]
    assert [each.size for each in pictures] == [(16, 16)] * 6
    assert np.asarray(pictures[5], float).mean() == pytest.approx(89.64, abs=1)  # decoders of JPEG differ
    close(store.index.loc[5, ["lon", "lat"]], [8.7827, 49.1221])
    assert store.index["survey_id"].tolist() == [f"{number:06d}" for number in range(6)]  # by the keys


@of_version(1)
def documentation(folder):
    table = pd.read_csv(str(folder / "documentation" / "odmap.csv"))
    assert len(table) == 84 and (table["id"] == "o_authorship_1").sum() == 1
    assert "Golden map" in (folder / "documentation" / "model-card.md").read_text()


@of_version(1)
def sample(folder):
    sites = pd.read_csv(str(folder / "sample" / "sites.csv"))
    assert len(sites) == 3 and sites["lon"].between(8, 10).all()
    assert len(pd.read_parquet(str(folder / "sample" / "sites.parquet"))) == 3


@of_version(1)
def impact(folder):
    place = folder / "impact"
    row = pd.read_csv(str(place / "effects.csv")).iloc[0]
    assert (row["outcome"], row["matched"], row["controls"]) == ("moss", 6, 18)
    close(row[["effect", "low", "high"]].to_numpy(float), [1.88333, 1.60475, 2.16191])
    units, pairs = (pd.read_csv(str(place / "moss" / f"{name}.csv")) for name in ("units", "pairs"))
    assert (units["status"] == "treated").sum() == len(pairs) == 6
    assert artefact.read_record(place).figures["moss/matched"] == 6


@of_version(2)
def shards(folder):  # noqa: F811
    store = Shards(folder / "shards")
    assert store.index["survey_id"].tolist() == [""] * 6 and set(store.index["survey_kind"]) == {""}
    assert [Image.open(io.BytesIO(each)).size for each in store.read(store.of_scale("plant"))] == [(16, 16)] * 6


@of_version(1)
def series(folder):
    store = Series(folder / "series.zarr")
    assert store.names == ["golden"] and len(store.survey_ids) == 160
    assert store.axes("golden") == {"band": ("red", "nir"), "month": (3, 6, 9, 12)}
    values, known = store.at(store.survey_ids[[3, 0]])
    assert known["golden"].tolist() == [True, False]
    assert values["golden"][0].ravel().tolist() == [3 + each / 8 for each in range(8)]


@of_version(1)
def encoder(folder):
    found = [load_encoder(folder / "encoder", fold) for fold in (None, 0, 1)]
    assert [each.fold for each in found] == [None, 0, 1] and found[0].blocks.size_m == 2000
    with torch.inference_mode():
        z = [each.model().embed_location(torch.tensor(PLACES)).numpy() for each in found]
    assert z[0].shape == (2, 8)
    close([each[0, 0] for each in z], [0.0162, 0.0088, 0.0147])
    seeing = load_encoder(folder / "encoder-images")
    assert seeing.images["satellite"].bands == ("blue", "green", "red", "nir")
    assert seeing.images["satellite"].size == 8
    with torch.inference_mode():
        close(seeing.model().embed_image("satellite", torch.full((1, 4, 8, 8), 900))[0, :2], [0.0849, 0.2743])


@of_version(1)
def model(folder):
    probabilities = [load_model(str(folder / "model"), fold).predict(PLACES) for fold in (None, 0, 1)]
    assert list(probabilities[0]) == SPECIES
    close([each["Ficta montana"] for each in probabilities], [[0.2330, 0.2304], [0.2135, 0.2117], [0.2846, 0.2733]])
    known = {"temperature_c": [10.0, 11.0], "moisture": [0.5, 0.6], "elevation_m": [200.0, 100.0]}
    with_forest = load_model(str(folder / "model")).predict(PLACES, pd.DataFrame(known))
    close(with_forest, [[0.1078, 0.2398, 0.6284, 0.2589], [0.1053, 0.2393, 0.6608, 0.2655]])
    whole_model = load_species_model(folder / "model")
    assert whole_model.model.forest is not None and whole_model.about.folds == 2
    assert whole_model.about.pretraining == "transductive" and "history" in whole_model.metrics
    seeing = read_species_folder(folder / "model-images")
    assert seeing.satellite is not None and seeing.satellite.size == 8
    assert seeing.config.series is not None and seeing.config.series.axes["golden"]["month"] == (3, 6, 9, 12)
    stores = folder.parent
    surveys = pd.DataFrame(PLACES, columns=["lon", "lat"]).assign(survey_id=["virtual-000001", "virtual-000002"])
    given = {
        "covariates": str(stores / "covariates" / "covariates.zarr"),
        "cube": str(stores / "cube" / "cube.zarr"),
        "series": str(stores / "series" / "series.zarr"),
    }
    seen = load_model(str(folder / "model-images")).predict(surveys, **given)
    close(seen, [[0.0756, 0.1641, 0.5445, 0.1718], [0.0766, 0.1627, 0.5386, 0.1723]])


@of_version(1)
def sweep(folder):
    best = load(Path(str(folder / "tune" / "best.yaml")), FinetuneConfig)
    rows = list(csv.DictReader(io.StringIO((folder / "tune" / "trials.csv").read_text())))
    winner = max(rows, key=lambda row: float(row["auc"]))
    assert len(rows) == 2 and best.optim.lr == float(winner["optim.lr"])
    assert best.model.hidden == int(winner["model.hidden"]) == 16 and best.covariates == "covariates.zarr"


@of_version(1)
def comparison(folder):
    figures = json.loads((folder / "comparison" / "metrics.json").read_text())
    assert few_shot.headline(figures).endswith("narrow 0.600, 0.744; network 0.638, 0.657; forest 0.651, 0.696")
    section = few_shot.section(folder / "comparison", figures)
    assert [len(table.rows) for table in section.tables] == [3, 2, 3, 2] and len(section.pictures) == 2


@of_version(1)
def embeddings(folder):
    store = Embeddings(folder / "embeddings.zarr")
    assert store.scale.shape == (12,) and store.attrs["tile"] == 16
    rows, cols = np.array([3, 8]), np.array([12, 9])
    close(store.read_cells(rows, cols)[:, 0], [1.1494, 1.3250])
    assert (store.layer("inputs") == 3).sum() == 205


@of_version(1)
def map(folder):
    place = folder / "map.zarr"
    found, coarse = Map(place), Map(place, 1)
    assert found.species["name"].tolist() == SPECIES and found.probability_kind == "occurrence"
    assert (found.tile, found.bits, found.attrs["crossfitted"]) == (16, 16, False)
    assert coarse.grid.shape == (8, 8) and not Map.has_level(place, 2)
    probability = found.read(WHOLE)
    assert np.isfinite(probability[0]).sum() == 205
    close(probability[:, 8, 9], [0.1304, 0.2274, 0.5836, 0.2860])
    close(coarse.read(Window(4, 4, 1, 1))[:, 0, 0], np.nanmean(probability[:, 8:10, 8:10], axis=(1, 2)))
    close(found.layer("richness")[8, 9], probability[:, 8, 9].sum())
    done = Ledger(place, artefact.read_record(place).fingerprint).done()
    assert sum(each["cells"] for each in done.values()) == 205
    truth = Map(folder / "truth.zarr")
    close(truth.read_cells(np.array([8]), np.array([9]))[0], [0.0224, 0.1164, 0.8413, 0.1793])


@of_version(1)
def evaluation(folder):
    place = folder / "evaluation"
    figures = json.loads((place / "metrics.json").read_text())
    assert summary.headline(figures).startswith("AUC on held-out blocks: map 0.521, random forest, both 0.595;")
    titles = [section.title for section in report_sections.sections(place, figures)]
    assert titles[:2] == ["Held-out blocks", "Held-out blocks, scored within folds"] and len(titles) == 5
    cuts = read_cuts(place, SPECIES)
    close(cuts.values[0], [0.1548, 0.2031, 0.6875, 0.1489])


@of_version(1)
def export(folder):
    item = json.loads((folder / "export" / "item.json").read_text())
    assert item["properties"]["proj:shape"] == [16, 16] and len(item["assets"]["probability"]["bands"]) == 4
    with rasterio.open(str(folder / "export" / "probability.tif")) as file:
        assert file.descriptions == tuple(SPECIES) and file.tags()["probability_kind"] == "occurrence"
        close(file.read(2)[8, 9] * file.scales[1], 0.2274)


@of_version(1)
def predictions(folder):
    place = folder / "predictions"
    table = pd.read_parquet(str(place / "probabilities.parquet"))
    assert table["surveyId"].tolist() == ["a", "b", "c"]
    assert table["inputs"].tolist() == ["location covariates", "location covariates", "location"]
    close(table[SPECIES].iloc[0], [0.1370, 0.2213, 0.5458, 0.2827])
    sets = pd.read_csv(str(place / "sets.csv"))
    assert sets["predictions"].iloc[0] == "Ficta palustris Ficta sylvatica"


@of_version(1)
def indicators(folder):
    data = open_dataset(folder / "indicators.zarr" / "0")
    assert data["threshold"].values.tolist() == [0.3, 0.5]
    close(data["richness"].values[8, 9], 1.2274)
    close(data["richness_sd"].values[8, 9], 0.8581)
    assert data["likely_species"].values[:, 8, 9].tolist() == [1, 1]
    rows = list(csv.DictReader(io.StringIO((folder / "indicators.zarr" / "countries.csv").read_text())))
    assert {row["country"]: row["cells"] for row in rows} == {"Northland": "110", "Southland": "95"}


@of_version(1)
def errors(folder):
    model, about = read_error_model(folder / "errors")
    assert list(model.species) == SPECIES and model.ranges_m == (2000.0, float("inf"))
    assert about["surveys"] == 160 and set(about["variance_by_range"]) == {"2 km", "everywhere", "one place"}
    close(model.correlation(1000.0)[0], [0.1109, -0.0208, -0.0356, -0.0094])


@of_version(1)
def change(folder):
    data = open_dataset(folder / "change.zarr" / "0")
    assert data["comparison"].values.tolist() == ["truth"]
    close(data["richness_change"].values[0, 8, 9], 0.0832)
    zones = pd.read_csv(str(folder / "change.zarr" / "zones.csv"))
    assert zones["cells"].tolist() == [110, 95] and zones["distinct"].tolist() == [True, False]
    close(zones["bray_curtis"], [0.4335, 0.2874])


@of_version(2)
def encoder(folder):  # noqa: F811
    found = [load_encoder(folder / "encoder", fold) for fold in (None, 0, 1)]
    assert found[0].blocks.validation == 0.2 and [each.fold for each in found] == [None, 0, 1]
    with torch.inference_mode():
        z = [each.model().embed_location(torch.tensor(PLACES)).numpy() for each in found]
        seen = load_encoder(folder / "encoder-images").model().embed_image("satellite", torch.full((1, 4, 8, 8), 900))
    close([each[0, 0] for each in z], [0.0162, 0.0088, 0.0147])
    close(seen[0, :2], [0.0849, 0.2743])


@of_version(2)
def model(folder):  # noqa: F811
    probabilities = [load_model(folder / "model", fold).predict(PLACES) for fold in (None, 0, 1)]
    close([each["Ficta montana"] for each in probabilities], [[0.1861, 0.1698], [0.1084, 0.1078], [0.2546, 0.2654]])
    known = {"temperature_c": [10.0, 11.0], "moisture": [0.5, 0.6], "elevation_m": [200.0, 100.0]}
    with_forest = load_model(folder / "model").predict(PLACES, pd.DataFrame(known))
    close(with_forest, [[0.0586, 0.1825, 0.6421, 0.1838], [0.0634, 0.1777, 0.6451, 0.1968]])
    about = read_species_folder(folder / "model")
    assert about.forest and about.region == (4_227_000, 2_880_000, 4_240_000, 2_896_000)
    assert (about.folds, about.blocks.validation, about.pretraining) == (2, 0.2, "transductive")
    seeing = read_species_folder(folder / "model-images")
    assert seeing.satellite is not None and seeing.satellite.size == 8 and not seeing.forest


@of_version(2)
def sweep(folder):  # noqa: F811
    best = load(Path(str(folder / "tune" / "best.yaml")), FinetuneConfig)
    rows = list(csv.DictReader(io.StringIO((folder / "tune" / "trials.csv").read_text())))
    winner = max(rows, key=lambda row: float(row["auc"]))
    assert len(rows) == 2 and best.optim.lr == float(winner["optim.lr"]) and best.blocks.validation == 0.2


@of_version(2)
def comparison(folder):  # noqa: F811
    figures = json.loads((folder / "comparison" / "metrics.json").read_text())
    assert few_shot.headline(figures).endswith("narrow 0.631, 0.718; network 0.705, 0.760; forest 0.644, 0.763")


@of_version(2)
def map(folder):  # noqa: F811
    place = folder / "map.zarr"
    found, coarse = Map(place), Map(place, 1)
    assert list(open_dataset(place)["species"].values) == SPECIES
    close(found.read(WHOLE)[:, 8, 9], [0.0736, 0.1748, 0.6235, 0.2043])
    close(found.layer("richness")[8, 9], 1.0762)
    assert coarse.layer(COUNT).sum() == 205 and found.attrs["effective_resolution_m"] == 1000
    done = Ledger(place, artefact.read_record(place).fingerprint).done()
    assert sum(each["cells"] for each in done.values()) == 205


@of_version(2)
def evaluation(folder):  # noqa: F811
    place = folder / "evaluation"
    figures = json.loads((place / "metrics.json").read_text())
    assert summary.headline(figures).startswith("AUC on held-out blocks: map 0.551, random forest, both 0.595;")
    assert len(report_sections.sections(place, figures)) == 5
    close(read_cuts(place, SPECIES).values[0], [0.0286, 0.1032, 0.8186, 0.0990])


@pytest.mark.parametrize(("version", "kind"), FOUND, ids=lambda each: str(each))
def test_a_golden_artefact_opens_and_holds_what_was_written(version, kind):
    folder = GOLDEN / f"v{version}" / kind
    records = list(folder.rglob("*artefact.json"))
    for path in records:
        said = json.loads(path.read_text())
        assert (said["kind"], said["format_version"]) == (kind, version)
    assert records
    CHECKS[version, kind](UPath(folder))


def test_every_version_that_is_read_has_a_golden_artefact():
    wanted = {(version, kind) for kind, each in FORMATS.items() for version in range(each.oldest, each.version + 1)}
    assert wanted == set(FOUND) == set(CHECKS)


def test_every_kind_that_jobs_write_has_a_version():
    written = {entry.kind for entry in jobs.JOBS.values() if entry.kind} | set(prepare._KINDS.values())
    assert set(FORMATS) == written
    assert {name for each in FORMATS.values() for name in each.jobs} == set(jobs.JOBS)


def test_no_golden_artefact_runs_code_when_it_is_read():
    files = [file for file in GOLDEN.glob("v*/**/*") if file.is_file()]
    assert not [file for file in files if file.suffix in (".pt", ".pth", ".pkl", ".pickle", ".npy", ".joblib")]
    for version in {version for version, _ in FOUND}:
        assert sum(file.stat().st_size for file in files if f"v{version}" in file.parts) < 1 << 20


@pytest.mark.parametrize("newest", [False, True])
def test_a_report_of_golden_artefacts(tmp_path, newest):
    chosen = {kind: version for version, kind in (FOUND if newest else FOUND[::-1])}
    for kind, version in chosen.items():
        shutil.copytree(GOLDEN / f"v{version}" / kind, tmp_path / "run", dirs_exist_ok=True)
    report = write_report(UPath(tmp_path / "run"))
    assert "map of 4 species on 205 cells" in report.summary
    page = report.path.read_text()
    for title in (
        "Encoder: encoder (fold 0)",
        "Species model: model (fold 0)",
        "Scores by number of training occurrences",
    ):
        assert title in page
