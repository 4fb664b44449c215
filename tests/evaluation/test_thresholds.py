import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation.thresholds import read_thresholds


@pytest.fixture
def evaluation(tmp_path):
    columns = {"species": ["Abies alba", "Taxus baccata"], "surveys": [30, 9], "max_tss": [0.2, 0.4]}
    table = pd.DataFrame({**columns, "surveys above max_tss": [25, 8], "note": ["", ""]})
    (tmp_path / "thresholds.csv").write_text(table.to_csv(index=False))
    return UPath(tmp_path)


def test_thresholds_follow_the_species_of_the_map(evaluation, capsys):
    found = read_thresholds(evaluation, ["Taxus baccata", "Ilex aquifolium"])
    assert list(found) == ["max_tss"] and found["max_tss"].iloc[0] == 0.4 and np.isnan(found["max_tss"].iloc[1])
    assert "1 of 2 species have no thresholds" in capsys.readouterr().out


def test_a_folder_without_them_or_of_other_species_is_named(evaluation, tmp_path):
    with pytest.raises(InputError, match="has none of the map's 1 species, such as 'Quercus robur'"):
        read_thresholds(evaluation, ["Quercus robur"])
    with pytest.raises(InputError, match=r"thresholds\.csv: no such file; expected an artefact of `evaluate`"):
        read_thresholds(UPath(tmp_path) / "none", ["Abies alba"])
