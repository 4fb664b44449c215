"""Pictures hold what they are to show: read back as pixels."""

import numpy as np
from helpers.pixels import pixels, share

from sdm_ray.plots import maps as map_plots

VIRIDIS_LOW, VIRIDIS_HIGH, SEA = (68, 1, 84), (253, 231, 37), (232, 232, 232)


def test_sea_is_grey_and_land_in_colour():
    values = np.full((20, 30), np.nan)
    values[:, :10], values[:, 10:20] = 0, 1
    png = map_plots.map_picture(values, "T", "u", extent=(0, 0, 30_000, 20_000))
    assert share(png, SEA) > 0.1 and share(png, VIRIDIS_LOW) > 0.1 and share(png, VIRIDIS_HIGH) > 0.1
    assert share(map_plots.map_picture(np.full((5, 5), np.nan), "all sea", "u"), SEA) > 0.2


def test_classes_have_colours_and_a_legend_of_those_that_occur():
    values = np.full((20, 30), np.nan)
    values[:, :10], values[:, 10:20] = 3, 7
    names = {1.0: "location", 3.0: "location, covariates", 7.0: "all"}
    png = map_plots.class_map_picture(values, names, "T", extent=(0, 0, 30_000, 20_000))
    blue, orange, green = (0, 114, 178), (230, 159, 0), (0, 158, 115)
    assert share(png, blue) > 0.1 and share(png, orange) > 0.1 and share(png, SEA) > 0.1 and share(png, green) == 0


def test_one_colour_scale_for_truth_and_map():
    truth = np.repeat([0.0, 1.0], 200).reshape(1, 20, 20)
    both = {"truth": truth, "map": np.full((1, 20, 20), 0.5)}
    png = map_plots.map_grid(both, ["Aus bus"], "p", captions={"map": ["rank correlation 0.5"]})
    middle = (33, 145, 140)  # of viridis
    assert share(png, middle) > 0.1 and share(png, VIRIDIS_LOW) > 0.05 and share(png, VIRIDIS_HIGH) > 0.05


def test_blocks_are_coloured_by_their_sign():
    x, y = np.array([0.0, 1e5]), np.array([0.0, 0.0])
    png = map_plots.block_picture(x, y, np.array([-1.0, 1.0]), 1e5, "T", "error", signed=True)
    rgb = pixels(png).astype(int)
    assert ((rgb[:, 0] > rgb[:, 2] + 60).mean() > 0.05) and ((rgb[:, 2] > rgb[:, 1] + 40).mean() > 0.05)
    png = map_plots.block_picture(x, y, np.array([0.0, 1.0]), 1e5, "T", "F1")
    assert share(png, VIRIDIS_LOW) > 0.05 and share(png, VIRIDIS_HIGH) > 0.05
