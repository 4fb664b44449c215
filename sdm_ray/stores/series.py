"""Time series on disk: one Zarr v3 group, one row per survey.

`survey_id(survey)` names the rows; each series is one float32 array with the survey as its first axis, such as
`landsat(survey, band, quarter, year)`, NaN where a survey has none and where a series has gaps. The other axes carry
their coordinates. Rows are written in blocks that are whole chunks, so that each block can have its own writer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from upath import UPath
from zarr.codecs import ZstdCodec
from zarr.core.dtype import VariableLengthUTF8

from sdm_ray.errors import InputError
from sdm_ray.stores import raster

BLOCK = 1024  # rows of a chunk: 2 MB of Landsat before compression


@dataclass(frozen=True)
class SeriesSpec:
    """One series.

    Attributes:
        axes: coordinates of the axes behind the survey, by name; axes of one name are the same in all series.
        attrs: `long_name`, `units`, ...
    """

    axes: dict[str, tuple[Any, ...]]
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one survey's series."""
        return tuple(map(len, self.axes.values()))


def create_series(path: UPath, survey_ids: Sequence[str], specs: Mapping[str, SeriesSpec]) -> None:
    """Make a group whose series are all unknown yet.

    Raises:
        InputError: a survey stands twice.
    """
    ids = pd.Index(survey_ids)
    if ids.has_duplicates:
        raise InputError(f"{path}: survey {ids[ids.duplicated()][0]} stands more than once")
    group = raster.open_root(path)
    group.attrs.put({"title": "Time series of surveys", "Conventions": "CF-1.11", "series": list(specs)})
    _coordinate(group, "survey_id", "survey", tuple(survey_ids))
    axes = {name: values for spec in specs.values() for name, values in spec.axes.items()}
    for name, values in axes.items():
        _coordinate(group, name, name, values)
    for name, spec in specs.items():
        group.create_array(
            name,
            shape=(len(ids), *spec.shape),
            dtype="float32",
            chunks=(BLOCK, *spec.shape),
            fill_value=float("nan"),
            compressors=[ZstdCodec(level=3)],
            dimension_names=["survey", *spec.axes],
            attributes={"coordinates": "survey_id", **spec.attrs},
            overwrite=True,
        )


def write_rows(path: UPath, start: int, values: Mapping[str, NDArray[np.float32]]) -> None:
    """Write a block of rows.

    Args:
        path: of the group.
        start: first row, a multiple of `BLOCK`.
        values: name of a series -> (rows, ...), at most `BLOCK` rows; fewer only at the end.

    Raises:
        ValueError: the rows are not whole chunks.
    """
    group = raster.open_group(path, "r+")
    for name, rows in values.items():
        array, stop = group[name], start + len(rows)
        if start % BLOCK or len(rows) > BLOCK or (stop % BLOCK and stop != array.shape[0]):
            raise ValueError(f"rows {start} to {stop} of {array.shape[0]} are no block of {BLOCK}")
        array[start:stop] = rows


class Series:
    """Time series for reading.

    Attributes:
        survey_ids: of the rows.
        names: of the series.

    Raises:
        InputError: there is no such group.
    """

    @raster.reports_damage("store of time series")
    def __init__(self, path: UPath) -> None:
        group: Any = raster.open_group(path)
        self.path = path
        if "survey_id" not in group or "series" not in group.attrs:
            raise InputError(f"{path}: is no group of time series; expected survey_id and the attribute series")
        self.survey_ids = pd.Index(group["survey_id"][:].astype(object))
        self.names: list[str] = list(group.attrs["series"])
        self._arrays = {name: group[name] for name in self.names}
        self._group = group

    def axes(self, name: str) -> dict[str, tuple[Any, ...]]:
        """Coordinates of a series' axes behind the survey."""
        return {axis: tuple(self._group[axis][:].tolist()) for axis in self._arrays[name].metadata.dimension_names[1:]}

    @raster.reports_damage("store of time series")
    def at(
        self, survey_ids: Sequence[str], names: Sequence[str] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]:
        """Series of some surveys, in the order asked for; each chunk is read once.

        Args:
            survey_ids: of any surveys.
            names: of the series wanted; by default all.

        Returns:
            By name of the series: values (N, ...), NaN where unknown; and whether anything is known of a survey (N,).
        """
        rows = self.survey_ids.get_indexer(pd.Index(survey_ids))
        asked = np.flatnonzero(rows >= 0)
        single, back = np.unique(rows[asked], return_inverse=True)
        values: dict[str, NDArray[np.float32]] = {}
        known: dict[str, NDArray[np.bool_]] = {}
        for name in self.names if names is None else names:
            array = self._arrays[name]
            out = np.full((len(rows), *array.shape[1:]), np.nan, np.float32)
            if len(single):
                out[asked] = array.oindex[single][back]
            values[name], known[name] = out, np.asarray(np.isfinite(out).any(axis=tuple(range(1, out.ndim))))
        return values, known


def _coordinate(group: raster.Group, name: str, axis: str, values: tuple[Any, ...]) -> None:
    text = isinstance(values[0], str)
    made = group.create_array(
        name,
        shape=(len(values),),
        dtype=VariableLengthUTF8() if text else "int64",
        chunks=(len(values),),
        dimension_names=[axis],
        overwrite=True,
    )
    made[...] = np.asarray(values, dtype=object if text else np.int64)
