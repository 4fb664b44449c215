"""`report.html`: one self-contained page of the finished artefacts of a run folder."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

import numpy as np
import pandas as pd
import xarray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation import few_shot
from sdm_ray.evaluation.report_sections import sections as evaluation_sections
from sdm_ray.evaluation.summary import headline
from sdm_ray.geo.grid import Extent
from sdm_ray.geo.windows import Window
from sdm_ray.metrics.probability_kind import layer_has_meaning
from sdm_ray.metrics.ranking import spearman
from sdm_ray.plots import charts
from sdm_ray.plots import maps as map_plots
from sdm_ray.plots.html import Picture, Section, Table, render
from sdm_ray.progress import say
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.maps import Map

_SHOWN_SPECIES = 6
_VIEW_ADDRESS = "http://localhost:8642/"  # of `sdm-ray view` without --port
_SHOWN_CELLS = 450  # along the longer side: coarser levels of a pyramid are not shown
_SHOWN = ("loss", "bce", "auc", "top5", "error_km", "alignment", "dense_error")
_KINDS = ("map", "indicators", "encoder", "model", "evaluation", "comparison", "impact")
_TRAINED = {"encoder": "Encoder", "model": "Species model"}


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        path: of the page.
        summary: the main figures in one line.
    """

    path: UPath
    summary: str


def write_report(run_dir: UPath) -> Report:
    """Write `report.html` from the finished artefacts of a run folder.

    Raises:
        InputError: the folder holds no finished artefact.
    """
    found, unread = _artefacts(run_dir)
    if not found:
        raise InputError("; ".join(unread) or f"{run_dir}: holds no finished artefact to report on")
    named = {kind: [name for name, record in found.items() if record.kind == kind] for kind in _KINDS}
    truth = run_dir / "truth.zarr" if "truth.zarr" in found else None
    maps = [run_dir / name for name in named["map"] if not name.startswith("truth")]
    shown = [path for path in maps if not Map(path).attrs.get("crossfitted")] or maps
    sections: list[Section] = []
    summary: list[str] = []
    if shown:
        first, *others = sorted(shown, key=lambda path: (path.name != "map.zarr", path.name))
        sections += [_map_section(first, others, truth), *_layer_sections(first, f"Layers of {first.name}")]
        summary.append(_size(first))
    for name in named["indicators"]:
        sections += _layer_sections(run_dir / name, f"Indicators: {name}")
    sections += [_curves_section(run_dir / name, kind) for kind in _TRAINED for name in named[kind]]
    for name in named["evaluation"]:
        figures = json.loads((run_dir / name / "metrics.json").read_text())
        sections += evaluation_sections(run_dir / name, figures)
        summary.append(headline(figures))
    for name in named["comparison"]:
        figures = json.loads((run_dir / name / "metrics.json").read_text())
        sections.append(few_shot.section(run_dir / name, figures))
        summary.append(few_shot.headline(figures))
    sections += [_impact_section(run_dir / name) for name in named["impact"]]
    sections.append(_artefacts_section(found))
    if unread:
        sections.append(Section("Left out", unread))
    line = "; ".join(summary) or f"{len(found)} finished artefacts"
    path = run_dir / "report.html"
    path.write_text(render(f"sdm-ray: {run_dir.name}", line, sections))
    return Report(path, line)


def _impact_section(path: UPath) -> Section:
    """The effects that were estimated, and where their pages are."""
    effects = pd.read_csv(str(path / "effects.csv"))
    shown = [name for name in ("question", "effect", "low", "high", "truth", "treated", "matched") if name in effects]
    rows = [[f"{cell:.3g}" if isinstance(cell, float) else cell for cell in row] for row in effects[shown].to_numpy()]
    text = "Mean change of treated units less that of matched controls; a page for each question is in"
    return Section(f"Impact: {path.name}", [f"{text} {path.name}/."], [Table("Effects of the treatment", shown, rows)])


def _artefacts(run_dir: UPath) -> tuple[dict[str, artefact.Record], list[str]]:
    """Finished artefacts by name, and why others cannot be read, such as those of another version."""
    found: dict[str, artefact.Record] = {}
    unread = []
    for path in sorted(run_dir.iterdir(), key=lambda path: path.name) if run_dir.is_dir() else []:
        if path.is_dir() or path.suffix == ".parquet":
            try:
                record = artefact.find_record(path)
            except InputError as error:
                unread.append(str(error))
                say(f"report: {error}")
                continue
            if record is not None:
                found[path.name] = record
    return found, unread


def _curves_section(path: UPath, kind: str) -> Section:
    """Learning curves from the `history` of a metrics.json: those of fold 0 if there are fold models."""
    fold = path / "folds" / "0"
    title = f"{_TRAINED[kind]}: {path.name}" + (" (fold 0)" if fold.exists() else "")
    metrics = json.loads(((fold if fold.exists() else path) / "metrics.json").read_text())
    history = [
        {name: value for name, value in row.items() if name.endswith(_SHOWN)} for row in metrics.get("history", [])
    ]
    if not history:
        return Section(title, ["There is no training history."])
    shown = [Picture("Learning curves on training and validation blocks.", charts.curves(history, title))]
    embedding = path / "embedding.png"
    if embedding.exists():
        shown.append(Picture("Embeddings of places: similar colours are similar embeddings.", embedding.read_bytes()))
    return Section(title, pictures=shown)


def _map_section(path: UPath, others: list[UPath], truth: UPath | None) -> Section:
    """Some species of a map, next to the truth and to other maps of the same cells."""
    data = _open(path)
    sources = {} if truth is None else {"truth": truth}
    sources |= {path.stem: path} | {other.stem: other for other in others}
    opened = {label: _open(each).sel(x=data["x"], y=data["y"], method="nearest") for label, each in sources.items()}
    place = {label: {str(n): i for i, n in enumerate(each["species"].values)} for label, each in opened.items()}
    names = _frequent_to_rare(path, [name for name in place[path.stem] if all(name in each for each in place.values())])
    if not names:
        return Section(f"Map: {path.name}", ["The maps have no species in common."])
    columns = {
        label: each["probability"].isel(species=[place[label][name] for name in names]).values
        for label, each in opened.items()
    }
    unit = f"probability ({Map(path).probability_kind})"
    png = map_plots.map_grid(columns, names, unit, extent=_extent(data), captions=_captions(columns))
    caption = (
        "Species from the highest to the lowest mean probability, each with a colour scale of its own; cells without a"
        " value are grey."
    )
    texts, links = _how_to_view([path, *others])
    return Section(f"Map: {path.name}", texts, pictures=[Picture(caption, png)], links=links)


def _how_to_view(maps: list[UPath]) -> tuple[list[str], list[tuple[str, str]]]:
    """The command that shows maps in a browser, and the address where it does; a file cannot start a server."""
    if maps[0].protocol not in ("", "file", "local"):
        return [], []
    places = " ".join(shlex.quote(os.path.relpath(path.path)) for path in maps)
    text = f"To pan, zoom, click cells and compare maps in a browser: sdm-ray view {places}"
    return [text], [("Open the page of the maps, while this command runs on this machine", _VIEW_ADDRESS)]


def _size(path: UPath) -> str:
    """Number of species and cells of a map."""
    store = Map(path)
    known = np.isfinite(store.read(Window(0, 0, *store.grid.shape), 0))
    return f"map of {len(store.species)} species on {np.count_nonzero(known):,} cells"


def _captions(columns: dict[str, np.ndarray]) -> dict[str, list[str]]:
    """Rank correlation of each species' map with the truth on the cells shown."""
    if "truth" not in columns:
        return {}
    flat = {label: each.reshape(len(each), -1) for label, each in columns.items()}
    return {
        label: [f"rank correlation {each:.2f}" for each in spearman(values, flat["truth"])]
        for label, values in flat.items()
        if label != "truth"
    }


def _frequent_to_rare(path: UPath, names: list[str]) -> list[str]:
    """Some of the species, at even steps from the highest to the lowest mean probability."""
    coarse = _thinned(_open(path), 64)["probability"]
    mean = dict(zip(map(str, coarse["species"].values), coarse.mean(("y", "x")).values, strict=True))
    ranked = sorted(names, key=lambda name: -np.nan_to_num(mean[name]))
    picks = np.linspace(0, len(ranked) - 1, min(_SHOWN_SPECIES, len(ranked))).round().astype(int)
    return [ranked[pick] for pick in picks]


def _layer_sections(path: UPath, title: str) -> list[Section]:
    """A picture of every two-dimensional layer of a store with values; nothing without any."""
    data = _thinned(_open(path, finest=True), 2 * _SHOWN_CELLS)
    kind = _probability_kind(path)
    made = []
    for name, layer in data.data_vars.items():
        is_layer = layer.dims == ("y", "x") and np.issubdtype(layer.dtype, np.number)
        if is_layer and layer_has_meaning(str(name), kind):
            values = layer.values.astype(float)
            if not np.isfinite(values).any():
                continue
            text, label = str(layer.attrs.get("long_name", name)), str(name).replace("_", " ")
            if classes := flag_classes(layer.attrs, values):
                png = map_plots.class_map_picture(values, classes, label, extent=_extent(data))
            else:
                unit = str(layer.attrs.get("units", ""))
                png = map_plots.map_picture(
                    values, label, unit if unit not in ("", "1") else label, extent=_extent(data)
                )
            made.append(Picture(text, png, half=True))
    return [Section(title, pictures=made)] if made else []


def _probability_kind(path: UPath) -> str:
    """The probability kind of a map, or of the map that indicators were derived from."""
    attrs = raster.open_group(path).attrs
    return str(attrs.get("sdm_ray", attrs).get("probability_kind", "occurrence"))


def _open(path: UPath, *, finest: bool = False) -> xarray.Dataset:
    """A store without a pyramid, or the level of a pyramid whose resolution suits a page."""
    group = raster.open_group(path)
    levels = [str(level) for level in takewhile(lambda level: str(level) in group, count())]
    if not levels:
        inner = path
    else:
        sizes = {level: max(raster.read_grid(raster.open_group(path / level)).shape) for level in levels}
        fit = [level for level in levels if sizes[level] >= _SHOWN_CELLS]
        inner = path / (fit[-1] if fit and not finest else "0")
    return raster.open_dataset(inner)


def _thinned(data: xarray.Dataset, side: int) -> xarray.Dataset:
    """Every nth row and column, so that the longer side has about `side` cells."""
    step = max(1, max(data.sizes["x"], data.sizes["y"]) // side)
    return data.isel(x=slice(None, None, step), y=slice(None, None, step))


def flag_classes(attrs: Mapping[str, Any], values: np.ndarray) -> dict[float, str]:
    """Value -> meaning of a CF flag variable, of several masks the meanings of all; empty for other layers."""
    meanings = [each.replace("_", " ") for each in str(attrs.get("flag_meanings", "")).split()]
    if "flag_values" in attrs:
        return dict(zip(np.ravel(attrs["flag_values"]).astype(float).tolist(), meanings, strict=False))
    if "flag_masks" not in attrs:
        return {}
    masks = np.ravel(attrs["flag_masks"]).astype(int).tolist()
    found = {}
    for value in np.unique(values[np.isfinite(values)]).tolist():
        present = [meaning for mask, meaning in zip(masks, meanings, strict=False) if int(value) & mask]
        found[value] = ", ".join(present) or "none"
    return found


def _extent(data: xarray.Dataset) -> Extent:
    x, y = data["x"].values, data["y"].values
    half = abs(x[1] - x[0]) / 2 if len(x) > 1 else 0.5
    return float(x.min() - half), float(y.min() - half), float(x.max() + half), float(y.max() + half)


def _artefacts_section(found: dict[str, artefact.Record]) -> Section:
    rows = [[name, record.kind, record.fingerprint[:12]] for name, record in found.items()]
    sources = sorted({source for record in found.values() for source in record.sources})
    texts = ["Data sources and their licences: " + "; ".join(sources)] if sources else []
    return Section("Artefacts", texts, [Table("Finished artefacts", ["name", "kind", "fingerprint"], rows)])
