"""Spatial folds."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from sdm_ray.geo.blocks import Blocks, Role, block_id, fold, fold_of, misfit, role, role_of, role_on_grid
from sdm_ray.geo.grid import Grid


@pytest.fixture
def places() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.uniform(1e6, 7e6, 20_000), rng.uniform(1e6, 5e6, 20_000)


def test_a_block_is_in_one_fold_and_folds_are_of_like_size(places):
    blocks = Blocks(folds=5)
    folds, ids = fold(*places, blocks), block_id(*places, blocks)
    for each in np.unique(ids)[:200]:
        assert len(np.unique(folds[ids == each])) == 1
    shares = np.bincount(folds, minlength=5) / len(folds)
    assert (np.abs(shares - 0.2) < 0.04).all()


def test_the_fold_of_a_place_does_not_depend_on_the_others(places):
    x, y = places
    blocks = Blocks()
    assert np.array_equal(fold(x, y, blocks)[100:110], fold(x[100:110], y[100:110], blocks))


def test_another_seed_is_another_assignment(places):
    assert (fold(*places, Blocks(seed=0)) != fold(*places, Blocks(seed=1))).mean() > 0.5


def test_folds_are_the_same_in_every_release():
    """A model keeps the fold that it never saw; another hash would make its scores wrong without a sign."""
    x, y = (
        np.array([4_321_000.0, 3_950_500.0, 900_000.0, 7_399_999.0]),
        np.array([3_210_000.0, 2_300_500.0, 9e5, 5.5e6]),
    )
    y[-1] -= 1
    assert fold(x, y, Blocks()).tolist() == [4, 3, 0, 0]
    assert role(x, y, Blocks(), held_out=0).tolist() == [Role.CALIBRATE, Role.TRAIN, Role.TEST, Role.TEST]
    other = Blocks(size_m=50_000, folds=10, seed=7)
    assert fold(x, y, other).tolist() == [8, 0, 9, 2]
    assert role(x, y, other, held_out=0).tolist() == [Role.TRAIN, Role.TEST, Role.TRAIN, Role.TRAIN]


def test_what_is_set_aside_does_not_depend_on_the_fold():
    group = np.arange(50_000)
    aside = role_of(group, Blocks(), held_out=-1)  # of the hash alone: no fold has this number
    folds = fold_of(group, Blocks())
    for each in range(5):
        shares = np.bincount(aside[folds == each], minlength=3) / (folds == each).sum()
        assert np.allclose(shares, [0.8, 0.1, 0.1], atol=0.02)


def test_blocks_whose_edges_cut_cells_are_told_with_a_size_that_fits():
    grid = Grid(4_001_000.0, 3_001_000.0, 2_000.0, 100, 100)
    for size, origin, expected in (
        (25_000.0, (1_000.0, 1_000.0), "size_m: 24000, origin: [1000, 1000]"),
        (24_000.0, (0.0, 0.0), "size_m: 24000, origin: [1000, 1000]"),
        (500.0, (1_000.0, 1_000.0), "size_m: 2000, origin: [1000, 1000]"),
    ):
        assert expected in misfit(Blocks(size_m=size, origin=origin), grid)
    fitting = Blocks(size_m=24_000.0, origin=(1_000.0, 1_000.0))
    assert misfit(fitting, grid) is None
    rng = np.random.default_rng(0)
    x, y = rng.uniform(4.01e6, 4.19e6, 5_000), rng.uniform(2.81e6, 2.99e6, 5_000)
    centre = grid.centre(*grid.cell(x, y))
    assert (fold(x, y, fitting) == fold(*centre, fitting)).all()
    cut = Blocks(size_m=25_000.0)
    assert 0.01 < (fold(x, y, cut) != fold(*centre, cut)).mean() < 0.1


def test_blocks_begin_at_their_origin():
    x, y = np.array([99.0, 101.0, 199.0, 201.0]), np.zeros(4)
    assert len(set(block_id(x, y, Blocks(size_m=100.0, origin=(1.0, 0.0))).tolist())) == 3
    first, *_ = block_id(x, y, Blocks(size_m=100.0, origin=(1.0, 0.0)))
    assert block_id(np.array([-98.0]), y[:1], Blocks(size_m=100.0, origin=(-199.0, 0.0)))[0] != first


def test_roles_hold_out_one_fold_and_keep_whole_blocks_together(places):
    blocks = Blocks(validation=0.1, calibrate=0.15)
    roles = role(*places, blocks, held_out=2)
    assert np.array_equal(roles == Role.TEST, fold(*places, blocks) == 2)
    shares = np.bincount(roles, minlength=5) / len(roles)
    assert np.allclose(shares[[Role.VALIDATION, Role.CALIBRATE]], [0.08, 0.12], atol=0.03)
    ids = block_id(*places, blocks)
    assert len(np.unique(np.stack([ids, roles]), axis=1)[0]) == len(np.unique(ids))


def test_nothing_held_out_means_everything_is_for_training(places):
    assert (role(*places, Blocks(buffer_m=1000), held_out=None) == Role.TRAIN).all()


@pytest.mark.parametrize("held_out", [None, 0, 2])
@pytest.mark.parametrize("buffer_m", [0.0, 17.0, 100.0])
def test_roles_of_a_grid_are_those_of_its_points(held_out, buffer_m):
    blocks = Blocks(size_m=100.0, folds=3, origin=(30.0, -20.0), buffer_m=buffer_m)
    x, y = np.arange(-400.0, 900.0, 7), np.arange(1000.0, -300.0, -11)
    xx, yy = np.meshgrid(x, y)
    found = role_on_grid(x, y, blocks, held_out)
    assert np.array_equal(found, role(xx.ravel(), yy.ravel(), blocks, held_out).reshape(xx.shape))
    assert (buffer_m > 0 and held_out is not None) == (found == Role.BUFFER).any()


def test_the_buffer_is_a_distance_to_held_out_blocks():
    blocks = Blocks(size_m=100.0, buffer_m=10.0, validation=0.0, calibrate=0.0, folds=4)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0.5, 1000), np.arange(0.5, 1000)))
    roles = role(x, y, blocks, held_out=0).reshape(1000, 1000)
    from scipy.ndimage import distance_transform_edt

    distance = distance_transform_edt(roles != Role.TEST)
    inner = np.s_[150:850, 150:850]  # outside the plane that was drawn there are held-out blocks as well
    assert (roles[inner][distance[inner] > 11] == Role.TRAIN).all()
    assert np.isin(roles[inner][distance[inner] < 9.5], [Role.BUFFER, Role.TEST]).all()


def test_countries_are_groups_like_blocks():
    countries = np.arange(1, 40)
    roles = role_of(countries, Blocks(validation=0.0, calibrate=0.0), held_out=1)
    assert np.array_equal(roles == Role.TEST, fold_of(countries, Blocks()) == 1)


@pytest.mark.parametrize(
    "values", [{"folds": 1}, {"size_m": 0}, {"buffer_m": 2e5}, {"validation": 0.6, "calibrate": 0.5}]
)
def test_settings_that_make_no_folds_are_refused(values):
    with pytest.raises(ValueError, match=r"folds|buffer_m|validation"):
        Blocks(**values)


def test_settings_from_a_file_are_strict():
    read = TypeAdapter(Blocks).validate_python
    assert read({"size_m": 50_000, "folds": 3}).folds == 3
    with pytest.raises(ValidationError):
        read({"size": 50_000})
