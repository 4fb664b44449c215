"""The report shows what a run folder holds, in one file."""

import json

import numpy as np
import pytest
import zarr
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation.report import write_report
from sdm_ray.geo.grid import Grid
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.raster import ArraySpec

GRID = Grid(4_000_000, 3_000_000, 1000, 30, 20)
SPECIES = ["Abies alba", "Quercus <robur>", "Fagus sylvatica"]


def seal(path, kind, **more):
    artefact.seal(path, artefact.Record(kind=kind, fingerprint="f" * 32, **more))


def write_map(path, probability, kind, layers=None, crossfitted=False):
    root = zarr.open_group(raster.store_of(path), mode="w", zarr_format=3)
    root.attrs["sdm_ray"] = {"crossfitted": crossfitted, "probability_kind": "occurrence"}
    code = np.where(np.isnan(probability), 255, np.nan_to_num(probability) * 254).round().astype(np.uint8)
    spec = ArraySpec("uint8", (3, 20, 30), leading=("species",), fill=255, attrs={"scale_factor": 1 / 254})
    arrays = {"probability": (spec, code)}
    for name, (values, attrs) in (layers or {}).items():
        arrays[name] = (ArraySpec("float32", (20, 30), fill=float("nan"), attrs=attrs), values)
    raster.write(path / "0", GRID, arrays, {"species": SPECIES}, {})
    seal(path, kind, sources=["Made up, CC0"])


@pytest.fixture
def run_dir(tmp_path):
    folder = UPath(tmp_path / "run")
    numbers = np.random.default_rng(0)
    p = numbers.random((3, 20, 30)).astype(np.float32)
    p[:, :, :5] = np.nan
    write_map(folder / "truth.zarr", p, "truth")
    layer = {"distance": (p[0] * 100, {"long_name": "distance to surveys", "units": "m"})}
    write_map(folder / "map.zarr", p, "map", layer)
    write_map(folder / "map-crossfit.zarr", p, "map", crossfitted=True)
    for kind in ("encoder", "model"):
        (folder / kind).mkdir()
        history = [{"step": step, "train/loss": 1.0 / (step + 1)} for step in range(5)]
        (folder / kind / "metrics.json").write_text(json.dumps({"history": history}))
        seal(folder / kind, kind)
    (folder / "unfinished").mkdir()
    return folder


def test_report_of_a_run(run_dir):
    report = write_report(run_dir)
    page = report.path.read_text()
    assert report.summary == "map.zarr: 3 species on 500 cells" and report.summary in page
    assert page.count("data:image/png;base64,") == 4  # species maps, the distance layer, two training curves
    assert "distance to surveys" in page and "Made up, CC0" in page
    assert "map-crossfit.zarr" in page.split("Finished artefacts")[1]
    assert "unfinished" not in page.split("Finished artefacts")[1]
    assert 'src="http' not in page and "<script" not in page


def test_a_map_alone_has_no_truth_beside_it(run_dir):
    (run_dir / "truth.zarr" / "artefact.json").unlink()
    whole = len(write_report(run_dir).path.read_text())
    seal(run_dir / "truth.zarr", "truth")
    assert len(write_report(run_dir).path.read_text()) > whole


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="no finished artefact"):
        write_report(UPath(tmp_path))
