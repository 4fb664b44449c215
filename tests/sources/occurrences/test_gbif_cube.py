"""GBIF occurrence cubes as presence-only surveys with their effort."""

import pytest

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.occurrences import gbif_cube
from sdm_ray.sources.occurrences.config import GbifCube

JOB = PrepareConfig(land={"source": "virtual"})
CUBE = """speciesKey\tspecies\teeaCellCode\tyear\toccurrences\tminCoordinateUncertaintyInMeters
2685484\tAbies alba\t1kmE4321N2705\t2019\t3\t100
2882316\tFagus sylvatica\t1kmE4321N2705\t2019\t4\t2000
2882316\tFagus sylvatica\t1kmE4321N2705\t2020\t1\t10
2882316\tFagus sylvatica\t10kmE432N271\t2020\t7\t10
\t\t10kmE432N271\t2020\t5\t10
"""


def made(folder, text: str = CUBE, **settings):
    path = folder / "cube.csv"
    path.write_text(text)
    return gbif_cube.surveys(GbifCube(source="gbif_cube", table=str(path), **settings), JOB)


def test_a_cell_and_year_is_a_survey_with_its_effort(tmp_path):
    found = made(tmp_path)
    rows = found.surveys
    assert found.kind == "relative"
    assert rows["survey_id"].tolist() == ["1kmE4321N2705_2019", "1kmE4321N2705_2020", "10kmE432N271_2020"]
    assert rows["species"].map(list).tolist() == [[0, 1], [1], [1]]
    assert rows["effort"].tolist() == [7, 1, 7]
    assert rows["year"].tolist() == [2019, 2020, 2020]
    assert rows["uncertainty_m"].round().tolist() == [707, 707, 7071]
    lon, lat = to_lonlat(4321500.0, 2705500.0)
    assert rows[["lon", "lat"]].iloc[0].tolist() == pytest.approx([float(lon), float(lat)])
    assert found.species["gbif_key"].tolist() == [2685484, 2882316]
    assert found.report.left == {"no_species_or_cell": ["row 5"]}


def test_the_counts_of_higher_taxa_are_the_effort(tmp_path):
    counts = ["familyCount\tkingdomcount", "3\t90", "4\t90", "1\t20", "7\t30", "5\t30"]
    text = "".join(f"{line}\t{count}\n" for line, count in zip(CUBE.splitlines(), counts, strict=True))
    assert made(tmp_path, text).surveys["effort"].tolist() == [90, 20, 30]
    assert made(tmp_path, text, effort="familyCount").surveys["effort"].tolist() == [4, 1, 7]
    assert made(tmp_path, text).species["name"].tolist() == ["Abies alba", "Fagus sylvatica"]


def test_another_grid_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cube\.csv: column eeacellcode: '32TMT' is no EEA cell code"):
        made(tmp_path, CUBE.replace("10kmE432N271", "32TMT"))
    with pytest.raises(InputError, match=r"has no column eeacellcode"):
        made(tmp_path, CUBE.replace("eeaCellCode", "mgrsCode"))
