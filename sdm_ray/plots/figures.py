"""Figures as PNG bytes, in one style for maps and charts."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can distinguish
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#000000")


def panels(count: int, *, width: float, height: float, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in rows of at most `columns`; width and height of a panel in inches."""
    across = min(max(count, 1), columns)
    down = -(-max(count, 1) // across)
    figure = new_figure(width * across, height * down + 0.4)
    axes = list(np.ravel(figure.subplots(down, across, squeeze=False)))
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def new_figure(width: float, height: float) -> Figure:
    """A figure; width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return data.getvalue()
