import numpy as np
import pytest
import shapely
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import whole
from sdm_ray.indicators.error_model import ErrorModel, write_error_model
from sdm_ray.indicators.zone_intervals import Drawn, IntervalSums, intervals
from sdm_ray.indicators.zone_sums import Shapes, ZoneSums

GRID = Grid(4_000_000, 3_000_000, 1000, 40, 30)
SHAPES = np.array([shapely.box(*GRID.bounds), shapely.box(4_005_200, 2_980_000, 4_007_000, 2_981_500)])
SPECIES = ["Abies alba", "Fagus sylvatica", "Taxus baccata"]


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("errors")
    loadings = np.full((1, 3, 1), 0.6, np.float32)  # one field that all species share
    model = ErrorModel(
        tuple(SPECIES), (50_000.0,), loadings, np.zeros((1, 3), np.float32), np.zeros((3, 1), np.float32)
    )
    write_error_model(UPath(folder), model, {})
    return str(folder)


@pytest.fixture(scope="module")
def p():
    return np.random.default_rng(0).uniform(0.1, 0.6, (3, GRID.width * GRID.height)).astype(np.float32)


def drawn_of(errors, shares=(1.0, 1.0)):
    sums = {"richness": np.ones(3, bool), "richness_red": np.array([True, False, False])}
    return Drawn(errors, SPECIES, sums, np.array(shares), 60, 0)


def parts_of(drawn, p, windows):
    found = []
    for window in windows:
        known = np.arange(window.size)
        zones = ZoneSums(Shapes.of(SHAPES), GRID, window, known)
        here = p.reshape(3, 30, 40)[(slice(None), *window.slices)].reshape(3, -1)
        sums = IntervalSums(drawn, zones, GRID, window, known)
        for block in (slice(0, 2), slice(2, 3)):
            sums.add(block, np.ascontiguousarray(here[block, zones.used].T))
        found.append(sums.result())
    return found


def total(parts, name, count=2):
    found = np.zeros((count, 60))
    for each in parts:
        found[each.zones] += each.drawn[name]
    return found


def test_draws_of_a_zone_do_not_depend_on_the_cut(errors, p):
    for shares in ((1.0, 1.0), (0.3, 1.0)):
        drawn = drawn_of(errors, shares)
        once = parts_of(drawn, p, [whole(GRID)])
        cut = parts_of(drawn, p, list(whole(GRID).parts(11, 16)))
        for name in drawn.sums:
            np.testing.assert_allclose(total(cut, name), total(once, name), rtol=1e-4)
    assert once[0].cells[0] == pytest.approx(0.3 * 1200, rel=0.2)


def test_intervals_of_zones_are_those_of_errors_that_cells_share(errors, p):
    parts = parts_of(drawn_of(errors), p, [whole(GRID)])
    mean, sd = p.sum(0).mean(), np.sqrt((p * (1 - p)).sum()) / 1200
    found = intervals(parts, {"richness": (np.array([mean, mean]), np.array([sd, sd]))}, 0.9)
    assert found["richness_low"][0] < mean < found["richness_high"][0]
    width = found["richness_high"][0] - found["richness_low"][0]
    assert width > 5 * 2 * 1.645 * sd, "errors of neighbours are alike, so that they do not average out"


def test_drawing_some_cells_changes_an_interval_little(errors, p):
    means = {"richness": (np.full(2, p.sum(0).mean()), np.full(2, 0.02))}
    every = intervals(parts_of(drawn_of(errors), p, [whole(GRID)]), means, 0.9)
    some = intervals(parts_of(drawn_of(errors, (0.2, 1.0)), p, [whole(GRID)]), means, 0.9)
    width = every["richness_high"][0] - every["richness_low"][0]
    for name in ("richness_low", "richness_high"):
        assert some[name][0] == pytest.approx(every[name][0], abs=0.1 * width)


def test_an_error_model_of_other_species_is_refused(errors):
    with pytest.raises(InputError, match="has no errors of 'Yeti'"):
        Drawn(errors, [*SPECIES, "Yeti"], {}, np.ones(1), 60, 0).start()
