"""The covariate store: rasters that describe places (climate, terrain, land cover) on one grid of their own."""

from collections.abc import Iterable, Sequence
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError, few
from sdm_ray.geo.grid import Grid
from sdm_ray.stores import raster
from sdm_ray.stores.embedding_sources import (
    EmbeddingSource,
    expanded,
    from_attributes,
    require_same,
    to_attributes,
)
from sdm_ray.stores.raster import ArraySpec
from sdm_ray.stores.zarr_io import Engine, engine_of, read_cells


def write_covariates(
    path: UPath,
    grid: Grid,
    names: Sequence[str],
    values: NDArray[np.float32],
    effective_resolution_m: float,
    embeddings: Sequence[EmbeddingSource] = (),
) -> None:
    """Write a covariate store.

    Args:
        path: folder or URL.
        grid: its cells.
        names: one for each covariate.
        values: (C, height, width), NaN where unknown.
        effective_resolution_m: the finest detail that the values carry, metres.
        embeddings: the precomputed embeddings that some covariates are components of.

    Raises:
        InputError: a covariate has no value anywhere, or two have one name.
    """
    finite = np.isfinite(values)
    for name, known in zip(names, finite, strict=True):
        if not known.any():
            raise InputError(f"covariate {name}: has no value in any cell")
    if len(set(names)) < len(names):
        raise InputError(f"covariates: two have the same name among {', '.join(names)}")
    attrs: dict[str, Any] = {
        "title": "Covariates",
        "Conventions": "CF-1.11",
        "effective_resolution_m": effective_resolution_m,
        "mean": [float(v[k].mean(dtype=np.float64)) for v, k in zip(values, finite, strict=True)],
        "std": [float(v[k].std(dtype=np.float64)) for v, k in zip(values, finite, strict=True)],
    }
    if embeddings:
        attrs["embeddings"] = to_attributes(embeddings)
    spec = ArraySpec("float32", (len(names), 128, 128), leading=("covariate",), fill=float("nan"))
    raster.write(path, grid, {"covariates": (spec, values)}, {"covariate": list(names)}, attrs)


_HELD_BYTES = 1 << 29  # smaller stores are read whole, once; of larger ones, chunks as they are asked for


class Covariates:
    """A covariate store: opening it reads names and statistics, values are read when they are first asked for.

    Attributes:
        path: folder or URL.
        grid: its cells.
        names: of the covariates that were selected, all at first.
        effective_resolution_m: the finest detail that the values carry, metres.
        mean: over all cells, (C,).
        std: over all cells, (C,).
        embeddings: the precomputed embeddings that some of its covariates are components of.
    """

    @raster.reports_damage("covariate store")
    def __init__(self, path: UPath) -> None:
        group: Any = raster.open_group(path)
        self.path = path
        self.grid: Grid = raster.read_grid(group)
        self.names = [str(name) for name in group["covariate"][:]]
        self.effective_resolution_m = float(group.attrs["effective_resolution_m"])
        self.mean = np.array(group.attrs["mean"], np.float32)
        self.std = np.array(group.attrs["std"], np.float32)
        self.embeddings = from_attributes(group.attrs.get("embeddings"))
        self._array: Any = group["covariates"]
        self._columns = np.arange(len(self.names))

    def select(
        self, names: Iterable[str], reason: str = "", trained_on: Sequence[EmbeddingSource] = ()
    ) -> "Covariates":
        """The same store with some of its covariates, in this order.

        Args:
            names: of the covariates; the name of classes stands for all of them (`cover` for `cover=1`, `cover=5`), and
                so does that of an embedding.
            reason: who needs them, at the end of the message where one is missing.
            trained_on: the embeddings of the model that needs them.

        Raises:
            InputError: the store has no covariate of such a name, or of another version or year of an embedding.
        """
        wanted = [each for name in expanded(names, self.embeddings) for each in self._called(name)]
        if missing := [name for name in wanted if name not in self.names]:
            raise InputError(f"{self.path}: has no covariate {missing[0]}{reason}; found {few(self.names, 12)}")
        require_same(trained_on, self.embeddings, self.path, reason)
        columns = [self.names.index(name) for name in wanted]
        selected = copy(self)
        selected.embeddings = [each for each in self.embeddings if each.among(wanted)]
        selected.__dict__.pop("_held", None)
        selected.names = wanted
        selected.mean, selected.std = self.mean[columns], self.std[columns]
        selected._columns = self._columns[columns]
        return selected

    @raster.reports_damage("covariate store")
    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values of the cells that points lie in.

        Args:
            x: EPSG:3035 metres, (N,).
            y: EPSG:3035 metres, (N,).

        Returns:
            Values (N, C), and which of them are known (N, C); those that are not are 0, never NaN.
        """
        row, col = self.grid.cell(x, y)
        inside = self.grid.contains(row, col)
        row, col = np.where(inside, row, 0), np.where(inside, col, 0)
        values = self._read(row, col) if self._held is None else self._held[:, row, col].T
        known = inside[:, None] & np.isfinite(values)
        return np.where(known, values, np.float32(0)), known

    @raster.reports_damage("covariate store")
    def distinct(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
        """As `at`, but each of the store's cells once: a hundred cells of 1 km share one of 10 km.

        Returns:
            Values (U, C), which of them are known (U, C), and the row of these for each point (N,).
        """
        row, col = self.grid.cell(x, y)
        _, first, which = np.unique(row * (1 << 31) + col, return_index=True, return_inverse=True)
        return *self.at(x[first], y[first]), which

    def draw(self, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
        """Some of the cells where all covariates are known: metres east and north, and values (n, C).

        Args:
            count: most cells; fewer where fewer are known among three times as many.
            seed: of the draw.
        """
        total = self.grid.height * self.grid.width
        drawn = np.random.default_rng(seed).choice(total, min(total, 3 * count), replace=False)
        x, y = self.grid.centre(*np.divmod(drawn, self.grid.width))
        values, known = self.at(x, y)
        chosen = np.flatnonzero(known.all(axis=1))[:count]
        return x[chosen], y[chosen], values[chosen]

    def _called(self, name: str) -> list[str]:
        """The covariate of a name, or those of its classes."""
        classes = [] if name in self.names else [each for each in self.names if each.rpartition("=")[0] == name]
        return classes or [name]

    @cached_property
    def _held(self) -> NDArray[np.float32] | None:
        """Values of the selected covariates in all cells, (C, height, width); None for a large store."""
        if self._array.nbytes > _HELD_BYTES:
            return None
        values: NDArray[np.float32] = self._array[...]
        every = np.array_equal(self._columns, np.arange(len(values)))
        return values if every else values[self._columns]

    @cached_property
    def _engine(self) -> Engine:
        return engine_of(self._array)

    def _read(self, row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.float32]:
        return read_cells(self._engine, self._array, (row, col), (slice(None),)).T[:, self._columns]


def unknown_at(where: object, names: Sequence[str], known: NDArray[np.bool_], most: float) -> list[str]:
    """Lines that report, covariate by covariate, at how many surveys it is unknown; none where all are known.

    Args:
        where: what holds the covariates, for messages.
        names: of the covariates.
        known: which are known at each survey, (N, C).
        most: share of the surveys at which a covariate may be unknown.

    Raises:
        InputError: one is unknown at more.
    """
    total = len(known)
    counts = dict(zip(names, (~known).sum(axis=0).tolist(), strict=True))
    worst = max(counts, key=lambda name: counts[name], default=None)
    if worst is not None and counts[worst] > most * total:
        raise InputError(
            f"{where}: {worst} is unknown at {counts[worst]} of {total} surveys, max_unknown allows {most:.0%};"
            " expected covariates of the same region"
        )
    alike: dict[int, list[str]] = {}
    for name, count in counts.items():
        alike.setdefault(count, []).append(name)
    return [
        f"{few(names)} unknown at {count} of {total} surveys" for count, names in sorted(alike.items()) if count > 0
    ]
