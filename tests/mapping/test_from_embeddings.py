"""Species fitted on stored embeddings: what lies in no embedded cell is counted."""

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import whole
from sdm_ray.mapping.from_embeddings import fit_species
from sdm_ray.stores.embeddings import Embeddings, EmbeddingSpec, create_embeddings
from sdm_ray.stores.maps import Layer
from sdm_ray.stores.surveys import write_surveys

GRID = Grid(4_000_000, 3_000_000, 1000, 16, 16)


def test_occurrences_outside_embedded_cells_are_counted(tmp_path, capsys):
    path, attrs = UPath(tmp_path) / "embeddings.zarr", {"tile": 16, "model_fingerprint": "m"}
    spec = EmbeddingSpec(np.ones(2, np.float32), 16, {"inputs": Layer("uint8", 0, {})}, {"sdm_ray": attrs})
    create_embeddings(path, GRID, spec)
    store, window = Embeddings(path, writable=True), whole(GRID)
    values = store.empty(window)
    values[:, :, :8] = np.random.default_rng(0).integers(-90, 90, (2, 16, 8))  # the western half alone
    inputs = np.zeros((16, 16), np.uint8)
    inputs[:, :8] = 1
    store.write(window, values, {"inputs": inputs})
    x = GRID.x0 + np.array([500.0] * 10 + [12_500.0] * 3 + [90_000.0] * 2)  # embedded, not embedded, beyond the grid
    lon, lat = to_lonlat(x, GRID.y1 - 500.0 - 1000 * np.arange(15))
    table = pd.DataFrame({"survey_id": range(15), "lon": lon, "lat": lat, "year": 2020, "uncertainty_m": 10.0})
    table["species"] = [np.array([0], np.int32)] * 15
    names = pd.DataFrame({"species_id": [0], "name": ["Sesleria caerulea"], "gbif_key": [7]})
    occurrences = UPath(tmp_path) / "new" / "surveys.parquet"
    write_surveys(occurrences, table, names, "relative")
    matrix, bias = fit_species(path, occurrences, 0)
    assert matrix.shape == (1, 2) and np.isfinite(bias).all()
    assert f"5 of 15 surveys of {occurrences} lie in no embedded cell: left out" in capsys.readouterr().out
