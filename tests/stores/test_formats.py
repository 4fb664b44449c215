"""A version that is not read is one line that says what to do, and its job makes the artefact anew."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from upath import UPath

from sdm_ray import job
from sdm_ray.errors import InputError
from sdm_ray.model_io import load_species_model
from sdm_ray.stores import artefact, formats
from sdm_ray.stores.formats import Format

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"


@pytest.fixture
def land_of_version(tmp_path):
    """Makes a land store say another version of its format."""
    place = UPath(tmp_path / "land.zarr")
    shutil.copytree(GOLDEN / "land" / "land.zarr", str(place))

    def make(version, **more):
        record = json.loads((place / "artefact.json").read_text())
        (place / "artefact.json").write_text(json.dumps(record | {"format_version": version} | more))
        return place

    return make


def test_one_from_a_newer_release_says_to_install_it(land_of_version):
    place = land_of_version(2, of_later="a key that this release knows nothing of")
    with pytest.raises(InputError) as caught:
        artefact.read_record(place)
    line = f"{place}/artefact.json: land of format version 2, this release reads 1; install a newer sdm-ray"
    assert str(caught.value) == line
    with pytest.raises(InputError, match="install a newer sdm-ray"):  # nor is it made anew over it
        plan_of(place).finished()


def test_one_from_too_old_a_release_says_what_makes_it_anew(land_of_version, monkeypatch, capsys):
    monkeypatch.setitem(formats.FORMATS, "land", Format(("prepare",), version=4, oldest=3))
    place = land_of_version(2)
    with pytest.raises(InputError) as caught:
        artefact.read_record(place)
    line = f"{place}/artefact.json: land of format version 2, this release reads 3 to 4; make it anew with"
    assert str(caught.value) == f"{line} `sdm-ray prepare`"
    assert artefact.read_record(land_of_version(3)).format_version == 3
    plan = plan_of(land_of_version(2))
    assert not plan.finished()  # and the job does so, from the same configuration
    with pytest.raises(InputError, match="was made with another format version; name another output"):
        plan.make_ready(overwrite=False)
    plan.make_ready()
    assert "changed format version" in capsys.readouterr().out
    plan.make(SimpleNamespace(run_id=None), lambda job: {"resumed": job.resumed})
    record = artefact.read_record(place)
    assert (record.format_version, record.figures) == (4, {"resumed": False}) and plan.finished()


def test_what_another_version_began_is_not_continued(tmp_path):
    place = UPath(tmp_path / "map.zarr")
    artefact.begin(place, artefact.Beginning(fingerprint="one"))
    (place / "tile").write_text("of version 1")
    assert not artefact.begin(place, artefact.Beginning(fingerprint="one", format_version=2))
    assert not (place / "tile").exists()


def test_weights_of_another_version_say_what_to_do(tmp_path):
    shutil.copytree(GOLDEN / "model" / "model", tmp_path / "model")
    file = tmp_path / "model" / "config.yaml"
    text = file.read_text()
    for version, line in (
        ("7", "weights of format version 7, this release reads 1 to 2; install a newer sdm-ray"),
        ("0", "weights of format version 0, this release reads 1 to 2; make it anew with `sdm-ray pretrain` or"),
        ("x", "says no format_version; expected a folder of weights"),
    ):
        file.write_text(text.replace("format_version: 1", f"format_version: {version}"))
        with pytest.raises(InputError) as caught:
            load_species_model(UPath(tmp_path / "model"))
        assert str(caught.value).startswith(f"{file}: {line}")


def plan_of(place) -> job.Plan:
    """What would make an artefact again as it is."""
    record = json.loads((place / "artefact.json").read_text())
    return job.Plan(place, record["kind"], record["config"], record["inputs"], record["sources"])
