"""Places on a map as points: those that were chosen among others."""

import numpy as np

from sdm_ray.plots.figures import new_figure, png


def site_picture(
    places: tuple[np.ndarray, np.ndarray], chosen: np.ndarray, surveys: np.ndarray, title: str, unit: str
) -> bytes:
    """Chosen sites in the order of choice, over places coloured by a value, with the surveys that there are.

    Args:
        places: metres east and north (N, 2), and a value of each (N,).
        chosen: metres east and north of the chosen sites, (K, 2).
        surveys: of the surveys, (R, 2).
        title: of the picture.
        unit: of the values.
    """
    xy, values = places
    span = np.ptp(xy, axis=0)
    figure = new_figure(6.8, 6.4 * float(np.clip(span[1] / max(span[0], 1), 0.5, 1.5)))
    axis = figure.subplots()
    order = np.argsort(values)
    low, high = np.percentile(values, [1, 99])
    east_km, north_km = xy[order].T / 1000
    drawn = axis.scatter(east_km, north_km, c=values[order], s=4, vmin=low, vmax=high, linewidths=0)
    figure.colorbar(drawn, ax=axis, label=unit, shrink=0.8)
    margin = 0.02 * span
    west, south = (xy.min(axis=0) - margin) / 1000
    east, north = (xy.max(axis=0) + margin) / 1000
    axis.scatter(
        surveys[:, 0] / 1000,
        surveys[:, 1] / 1000,
        c="white",
        s=5,
        edgecolors="#444444",
        linewidths=0.3,
        label="surveyed",
    )
    axis.scatter(
        chosen[:, 0] / 1000,
        chosen[:, 1] / 1000,
        c="#d62728",
        s=22,
        edgecolors="white",
        linewidths=0.6,
        label="to survey",
    )
    for number, place in enumerate(chosen[:9] / 1000, 1):
        axis.annotate(str(number), place, xytext=(4, 3), textcoords="offset points", fontsize=8, fontweight="bold")
    axis.set(xlim=(west, east), ylim=(south, north), xlabel="km east", ylabel="km north", aspect="equal")
    axis.set_title(title, fontweight="bold")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)
    return png(figure)
