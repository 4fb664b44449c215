import json

import pandas as pd
import pytest
from helpers.management import parcels
from helpers.parcel_files import write_table
from typer.testing import CliRunner
from upath import UPath

from sdm_ray.cli import app
from sdm_ray.impact.job import slug
from sdm_ray.stores import artefact

YAML = """
units: {folder}/units.csv
id: parcel
treatment: {{column: treated, date: date}}
outcome: {{table: {folder}/outcomes.csv, id: parcel, values: [birds, moss]}}
covariates: {{columns: [warmth, slope, soil]}}
estimate: {{resamples: 200}}
placebos: {{fake_treatments: 5, elsewhere: 5, elsewhere_m: 1000, outcomes: [moss]}}
questions:
  late mowing: {{outcome: birds}}
  late mowing, first year: {{outcome: birds, dates: [2011, 2011]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("impact")
    units, years, birds = parcels(300, effect=-2.0, seed=7)
    moss = parcels(300, effect=0.0, seed=7)[2]
    write_table(place / "units.csv", units)
    rows = [
        {"parcel": name, "year": int(year), "birds": round(birds[i, j], 4), "moss": round(moss[i, j], 4)}
        for i, name in enumerate(units["parcel"])
        for j, year in enumerate(years)
    ]
    (place / "outcomes.csv").write_text(pd.DataFrame(rows).to_csv(index=False))
    (place / "impact.yaml").write_text(YAML.format(folder=place))
    return place


def run(folder, *overrides):
    return CliRunner().invoke(app, ["impact", str(folder / "impact.yaml"), f"run_dir={folder}/run", *overrides])


@pytest.fixture(scope="module")
def made(folder):
    result = run(folder)
    assert result.exit_code == 0, result.output
    return UPath(folder) / "run" / "impact", result.output


def test_the_planted_effect_is_found(made):
    rows = pd.read_csv(made[0] / "effects.csv").set_index("question")
    first = rows.loc["late mowing"]
    assert first["low"] < -2 < first["high"] < 0 and first["matched"] > 40
    assert abs(first["change, treated and all controls"] + 2) > abs(first["effect"] + 2)
    assert first["worst_smd"] < 0.25 < first["worst_smd_before"]
    assert rows.loc["late mowing, first year", "matched"] < first["matched"]


def test_each_question_has_a_page_and_tables(made):
    output, said = made
    page = (output / "late-mowing" / "page.html").read_text()
    for heading in ("Effect", "Caveats", "Balance", "By year", "Placebo tests", "Hidden bias", "Units"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("data:image/png") == 6 and "Effect on birds: -" in page and "which excludes zero" in page
    assert "late mowing: Effect on birds: -" in said and "page.html" in said
    units = pd.read_csv(output / "late-mowing" / "units.csv")
    assert len(units) == 300 and set(units["status"]) >= {"treated", "control", "control, not matched"}
    pairs = pd.read_csv(output / "late-mowing" / "pairs.csv")
    assert len(pairs) == (units["status"] == "treated").sum() and pairs["distance_m"].gt(0).all()
    for name in ("balance", "placebos", "event_study"):
        assert len(pd.read_csv(output / "late-mowing" / f"{name}.csv"))


def test_the_artefact_is_sealed_and_kept(folder, made):
    record = artefact.read_record(made[0])
    assert record.kind == "impact" and record.figures["questions"] == 2
    assert set(record.inputs) == {f"{folder}/units.csv", f"{folder}/outcomes.csv"}
    assert "finished and unchanged: kept" in run(folder).output
    json.dumps(record.figures)


def test_the_same_again_is_the_same(folder, made):
    result = run(folder, "output=again")
    assert result.exit_code == 0
    for name in ("effects.csv", "late-mowing/placebos.csv", "late-mowing/page.html"):
        assert (made[0] / name).read_bytes() == (made[0].parent / "again" / name).read_bytes()


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("treatment.date=slope", "is dated outside|treated units are dated outside the outcomes' years"),
        ("matching.caliper=0.0000001", "has a control within the calipers"),
        ("matching.max_distance_m=1", "has a control within the calipers"),
        ("outcome.values=[newts]", "has no column newts"),
        ("covariates.columns=[moss]", "has no column moss"),
        ("units=nowhere.csv", "nowhere.csv"),
    ],
)
def test_bad_input_is_one_line(folder, override, line):
    result = run(folder, "output=bad", override)
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert any(part in result.output.replace("\n", " ") for part in line.split("|"))


def test_names_of_folders():
    assert slug("Late mowing, 2012-2015: birds") == "late-mowing-2012-2015-birds"
    assert slug("Waldränder") == "waldränder" and slug("!!") == "question"
