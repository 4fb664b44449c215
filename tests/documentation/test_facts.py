"""What is gathered about a map is what its artefacts say, and only of inputs that are still those."""

from dataclasses import replace

from sdm_ray.documentation import odmap_data
from sdm_ray.documentation.facts import gather
from sdm_ray.stores import artefact


def test_surveys_are_counted_by_the_species_of_the_map(facts, world):
    assert facts.surveys.count == 200 and facts.surveys.years == (2020, 2020)
    assert facts.surveys.uncertainty_m == 10 and len(facts.surveys.presences) == 5
    assert 50 < facts.surveys.presences[0] < 110
    assert facts.species == world.species and facts.countries == ["Westland", "Eastland"]


def test_countries_without_a_survey_are_measured_on_the_map(facts, world):
    assert facts.unsurveyed == {"Eastland": int((world.country == 2).sum())}
    assert "Eastland" in odmap_data.answers(facts)["d_bio_11"] and "Westland" not in facts.no_data


def test_a_map_without_surveys_says_nothing_of_countries_without_any(facts):
    none = replace(facts, unsurveyed={})
    assert none.no_data == "" and "no survey at all" not in odmap_data.answers(none)["d_bio_11"]


def test_an_input_that_was_made_anew_since_is_left_out(mapped):
    place = mapped / "described.zarr"
    record = artefact.read_record(place)
    changed = record.model_copy(update={"inputs": record.inputs | {"surveys.parquet": "another"}})
    found = gather(place, changed, lambda name: mapped / name)
    assert found.surveys is None and found.model is not None and found.record_of("surveys") is None


def test_a_map_without_its_inputs_is_described_by_what_it_says_itself(mapped, tmp_path):
    place = mapped / "described.zarr"
    found = gather(place, artefact.read_record(place), lambda name: type(place)(tmp_path) / name)
    assert found.model is None and found.surveys is None and found.training == {}
    assert found.title == "Trees of two lands"


def test_records_that_cannot_be_read_are_left_out(mapped, tmp_path):
    place = mapped / "described.zarr"
    record = artefact.read_record(place)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "artefact.json").write_text('{"kind": "encoder", "format_version": 99}')
    inputs = record.inputs | {"old": "x", "https://example.invalid/table.csv": "y"}
    places = {"old": type(place)(tmp_path) / "old"}
    found = gather(place, record.model_copy(update={"inputs": inputs}), lambda name: places.get(name) or mapped / name)
    assert "old" not in found.records and found.model is not None
