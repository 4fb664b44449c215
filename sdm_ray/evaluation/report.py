"""`report.html`: one self-contained page of whatever a run folder holds."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

import numpy as np
import xarray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation import pictures, present
from sdm_ray.evaluation.page import Picture, Section, Table, render
from sdm_ray.stores import artefact, raster

_SHOWN_SPECIES = 6
_SHOWN_CELLS = 450  # along the longer side: a pyramid's level below this shows no more on a page
_TRAINED = {"encoder": "Encoder", "model": "Species model"}


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        path: of the page.
        summary: its one line.
    """

    path: UPath
    summary: str


def write_report(run_dir: UPath) -> Report:
    """Assemble `report.html` from the finished artefacts of a run folder.

    Raises:
        InputError: the folder holds no finished artefact.
    """
    found = dict(_artefacts(run_dir))
    if not found:
        raise InputError(f"{run_dir}: holds no finished artefact to report on")
    summary: list[str] = []
    sections: list[Section] = []
    for name, record in found.items():
        if record.kind == "evaluation":
            figures = json.loads((run_dir / name / "metrics.json").read_text())
            sections += present.sections(run_dir / name, figures)
            summary.append(present.headline(figures))
    maps = [name for name, record in found.items() if record.kind == "map"]
    shown = [name for name in maps if not _attrs(run_dir / name).get("crossfitted")] or maps
    truth = run_dir / "truth.zarr"
    for name in shown:
        section, line = _map_section(run_dir / name, truth if "truth.zarr" in found else None)
        sections.append(section)
        summary.insert(0, line)
    sections += [_layers_section(run_dir / name) for name, record in found.items() if record.kind == "indicators"]
    trained = [(name, record.kind) for name, record in found.items() if record.kind in _TRAINED]
    sections += [_curves_section(run_dir / name, kind) for name, kind in trained]
    sections.append(_artefacts_section(found))
    line = "; ".join(summary) or f"{len(found)} finished artefacts"
    path = run_dir / "report.html"
    path.write_text(render(f"sdm-ray: {run_dir.name}", line, [each for each in sections if each]))
    return Report(path, line)


def _artefacts(run_dir: UPath) -> Iterable[tuple[str, artefact.Record]]:
    for path in sorted(run_dir.iterdir(), key=lambda path: path.name) if run_dir.is_dir() else []:
        if path.is_dir() or path.suffix == ".parquet":
            record = artefact.find_record(path)
            if record is not None:
                yield path.name, record


def _attrs(path: UPath) -> dict[str, Any]:
    return dict(raster.open_group(path).attrs).get("sdm_ray", {})  # type: ignore[return-value]


def _curves_section(path: UPath, kind: str) -> Section:
    """Training curves from the `history` of a metrics.json."""
    metrics = json.loads((path / "metrics.json").read_text())
    history = metrics.get("history", [])
    title = f"{_TRAINED[kind]}: {path.name}"
    if not history:
        return Section(title, ["No training history was kept."])
    return Section(title, pictures=[Picture("Training curves", pictures.curves(history, title))])


def _map_section(path: UPath, truth: UPath | None) -> tuple[Section, str]:
    """Species maps, beside the truth where there is one, and the map's quality layers."""
    data = _open(path)
    probability = data["probability"]
    names = [str(name) for name in data["species"].values]
    mean = probability.mean(("y", "x")).values
    # from the most frequent species to the rarest, evenly
    ranked = np.argsort(-np.nan_to_num(mean), kind="stable")
    some = ranked[np.unique(np.linspace(0, len(ranked) - 1, _SHOWN_SPECIES).round().astype(int))]
    columns = {"map": probability.isel(species=some).values}
    captions = {}
    if truth is not None:
        true = _open(truth, like=data)
        place = {str(name): number for number, name in enumerate(true["species"].values)}
        both = [number for number in some if names[number] in place]
        if both:
            some = np.array(both)
            values = true["probability"].isel(species=[place[names[n]] for n in some]).values
            columns = {"truth": values, "map": probability.isel(species=some).values}
    kind = _attrs(path).get("probability_kind", "")
    unit = f"probability ({kind})" if kind else "probability"
    picture = pictures.maps_beside(columns, [names[n] for n in some], unit, extent=_extent(data), captions=captions)
    caption = "From the most frequent species to the rarest; each species has one colour scale; sea is grey"
    section = _layers_section(path)
    section.pictures.insert(0, Picture(caption, picture))
    cells = int(np.isfinite(_open(path, level=0)["probability"].isel(species=0).values).sum())
    return section, f"{path.name}: {len(names)} species on {cells:,} cells"


def _layers_section(path: UPath) -> Section:
    """Every two-dimensional layer of a store as a picture."""
    data = _open(path)
    made = []
    for name, layer in data.data_vars.items():
        if layer.dims == ("y", "x") and np.issubdtype(layer.dtype, np.number):
            title = str(layer.attrs.get("long_name", name)).replace("_", " ")
            unit = _unit(layer.attrs)
            png = pictures.map_picture(layer.values.astype(float), title, unit, extent=_extent(data))
            made.append(Picture(title, png))
    return Section(path.name, pictures=made)


def _unit(attrs: dict[str, Any]) -> str:
    meanings, values = attrs.get("flag_meanings"), attrs.get("flag_values", attrs.get("flag_masks"))
    if meanings and values is not None:
        pairs = zip(np.ravel(values), str(meanings).split(), strict=False)
        return ", ".join(f"{value} {meaning.replace('_', ' ')}" for value, meaning in pairs)
    unit = str(attrs.get("units", ""))
    return "" if unit == "1" else unit


def _open(path: UPath, *, level: int | None = None, like: xarray.Dataset | None = None) -> xarray.Dataset:
    """A store as xarray, at a level, at the level of another store, or at one fit for a page."""
    group = raster.open_group(path)
    levels = list(takewhile(lambda each: str(each) in group, count()))
    inner = None
    if levels:
        sizes = {each: max(raster.read_grid(raster.open_group(path / str(each))).shape) for each in levels}
        fit = [each for each in levels if sizes[each] >= min(_SHOWN_CELLS, sizes[0])]
        inner = str(max(fit) if level is None else level)
    store = raster.store_of(path / inner if inner else path, read_only=True)
    data = xarray.open_zarr(store, consolidated=False, chunks=None)
    if like is not None and (data.sizes["y"], data.sizes["x"]) != (like.sizes["y"], like.sizes["x"]):
        return data.sel(x=like["x"], y=like["y"], method="nearest")
    return data


def _extent(data: xarray.Dataset) -> pictures.Extent:
    x, y = data["x"].values, data["y"].values
    half = abs(x[1] - x[0]) / 2 if len(x) > 1 else 0.5
    return float(x.min() - half), float(y.min() - half), float(x.max() + half), float(y.max() + half)


def _artefacts_section(found: dict[str, artefact.Record]) -> Section:
    rows = [[name, record.kind, record.fingerprint[:12]] for name, record in found.items()]
    sources = sorted({source for record in found.values() for source in record.sources})
    texts = ["Data sources and their terms: " + "; ".join(sources)] if sources else []
    return Section("Artefacts", texts, [Table("Finished artefacts", ["name", "kind", "fingerprint"], rows)])
