"""The report shows what a run folder holds, in one file."""

import html
import json
import os
import shlex

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation.report import flag_classes, write_report
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.stores import artefact
from sdm_ray.stores.maps import Layer, Map, MapSpec, create_map
from sdm_ray.stores.pyramid import create_levels, fill_level
from sdm_ray.viewer.server import PORT

GRID = Grid(4_000_000, 3_000_000, 1000, 30, 20)
SPECIES = ["Abies alba", "Quercus <robur>", "Fagus sylvatica"]


def seal(path, kind, **more):
    artefact.seal(path, artefact.Record(kind=kind, fingerprint="f" * 32, **more))


def write_map(path, probability, kind, layers=None, crossfitted=False, probability_kind="occurrence"):
    species = pd.DataFrame({"species_id": range(3), "name": SPECIES})
    specs = {name: Layer("float32", float("nan"), attrs) for name, (_, attrs) in (layers or {}).items()}
    attrs = {"sdm_ray": {"crossfitted": crossfitted}}
    create_map(path, GRID, MapSpec(species, probability_kind, 32, specs, attrs=attrs))
    values = {name: values for name, (values, _) in (layers or {}).items()}
    Map(path, writable=True).write(Window(0, 0, 20, 30), probability, values)
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
        history = [{"train/loss": 1.0 / (epoch + 1)} for epoch in range(5)]
        (folder / kind / "metrics.json").write_text(json.dumps({"history": history}))
        seal(folder / kind, kind)
    (folder / "unfinished").mkdir()
    return folder


def test_report_of_a_run(run_dir):
    report = write_report(run_dir)
    page = report.path.read_text()
    assert report.summary == "map of 3 species on 500 cells" and report.summary in page
    assert page.count("data:image/png;base64,") == 4  # species maps, the distance layer, two training curves
    command = "sdm-ray view " + shlex.quote(os.path.relpath(run_dir / "map.zarr"))
    assert command in html.unescape(page) and f'<a href="http://localhost:{PORT}/">' in page
    assert "distance to surveys" in page and "Made up, CC0" in page
    assert "map-crossfit.zarr" in page.split("Finished artefacts")[1]
    assert "unfinished" not in page.split("Finished artefacts")[1]
    assert 'src="http' not in page and "<script" not in page


def test_a_map_alone_has_no_truth_beside_it(run_dir):
    (run_dir / "truth.zarr" / "artefact.json").unlink()
    whole = len(write_report(run_dir).path.read_text())
    seal(run_dir / "truth.zarr", "truth")
    assert len(write_report(run_dir).path.read_text()) > whole


def test_richness_of_relative_suitabilities_is_not_shown(tmp_path):
    p = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)
    for kind in ("occurrence", "relative"):
        folder = UPath(tmp_path / kind)
        layers = {"richness": (p.sum(0), {"long_name": "expected number of species"}), "distance": (p[0], {})}
        write_map(folder / "map.zarr", p, "map", layers, probability_kind=kind)
        page = write_report(folder).path.read_text()
        assert ("expected number of species" in page) == (kind == "occurrence") and "distance" in page


def test_a_pyramid_shows_a_coarser_level(run_dir, monkeypatch):
    create_levels(run_dir / "map.zarr", 1)
    fill_level(run_dir / "map.zarr", 1, Window(0, 0, 10, 15))
    monkeypatch.setattr("sdm_ray.evaluation.report._SHOWN_CELLS", 12)
    report = write_report(run_dir)
    assert report.summary == "map of 3 species on 500 cells"
    assert report.path.read_text().count("data:image/png;base64,") == 4


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="no finished artefact"):
        write_report(UPath(tmp_path))


def test_an_artefact_of_an_unread_version_is_left_out_and_named(run_dir, capsys):
    place = run_dir / "map-crossfit.zarr" / "artefact.json"
    place.write_text(json.dumps({"kind": "map", "format_version": 99, "fingerprint": "f"}))
    report = write_report(run_dir)
    assert report.summary == "map of 3 species on 500 cells"
    line = "map of format version 99, this release reads 1 to 2; install a newer sdm-ray"
    assert line in report.path.read_text().split("Left out")[-1] and line in capsys.readouterr().out


def test_a_folder_whose_artefacts_are_all_of_unread_versions_says_so(tmp_path):
    place = UPath(tmp_path / "map.zarr")
    place.mkdir()
    (place / "artefact.json").write_text(json.dumps({"kind": "map", "format_version": 99, "fingerprint": "f"}))
    with pytest.raises(InputError, match="install a newer sdm-ray"):
        write_report(UPath(tmp_path))


def test_flags_are_named_by_all_their_masks():
    attrs = {"flag_masks": [1, 2, 4], "flag_meanings": "location covariates satellite"}
    found = flag_classes(attrs, np.array([[1, 3], [7, np.nan]]))
    assert found == {1: "location", 3: "location, covariates", 7: "location, covariates, satellite"}
    values = {"flag_values": [0, 1], "flag_meanings": "country_without_survey country_with_survey"}
    assert flag_classes(values, np.zeros(3)) == {0: "country without survey", 1: "country with survey"}
    assert flag_classes({"units": "m"}, np.zeros(3)) == {}
