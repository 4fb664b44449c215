import numpy as np
from helpers.planted_errors import SPECIES, planted, surveys

from sdm_ray.indicators.joint_coverage import CoverageSettings, coverage
from sdm_ray.indicators.joint_fit import FitSettings


def test_joint_intervals_hold_where_independent_ones_do_not():
    data = surveys(planted(), count=2500)
    west = data.x < 4_200_000
    table = coverage(
        [data.rows(west), data.rows(~west)],
        [data.rows(~west), data.rows(west)],
        SPECIES,
        FitSettings((20_000.0,), factors=1, pairs=10_000),
        CoverageSettings((0.0, 40_000.0), draws=100),
    ).set_index(["zone_km", "quantity"])
    wide = table.loc[40, "richness"]
    assert wide.intervals == 100
    assert 0.8 <= wide.joint <= 0.99 and wide.independent < 0.5
    assert 0.8 <= table.loc[40, "species"].joint <= 0.98
    assert table.loc[0, "richness"].joint >= 0.87 and table.loc[0, "richness"].intervals == 2500
    assert table.loc[0, "species"].intervals == 0 and np.isnan(table.loc[0, "species"].joint)
    assert wide.joint_width > 2
