"""The YAML files of a study, with a comment beside each value that a person may want to change."""

import os
from pathlib import Path
from typing import Any

import yaml

from sdm_ray.init.layers import OwnRaster
from sdm_ray.init.study import Study
from sdm_ray.sources.layers.gdal_names import file_of


def texts(study: Study, folder: Path) -> dict[str, str]:
    """Name of each file -> its text.

    Args:
        study: a person's data, and the settings that follow from them.
        folder: where the files will lie; paths of data are written relative to it.
    """
    found = {"prepare": _prepare(study, folder), "finetune": _finetune(study), "map": _map(study)}
    if not study.alone:
        found |= {"map-crossfit": _map_crossfit(study), "evaluate": _evaluate(study)}
    if not study.relative:
        found["indicators"] = _indicators(study)
    return {f"{name}.yaml": text for name, text in found.items()}


def left_out(study: Study) -> list[str]:
    """Why a job is not among the files."""
    lines = []
    if study.alone:
        lines.append("evaluate: presences of one species alone cannot be scored; add surveys of absence for that")
    if study.relative:
        lines.append("indicators: sums of relative suitabilities are no numbers of species")
    return lines


def _prepare(study: Study, folder: Path) -> str:
    source = study.table.source
    settings = source.model_dump(exclude_defaults=True, exclude={"columns", "table", "source"}, mode="json")
    settings.pop("probability_kind", None)
    lines = ["# Surveys, covariates and land out of your own files.", "surveys:", f"  source: {source.source}"]
    lines.append(f"  table: {_flow(_relative(source.table, folder))}")
    if source.source == "tables":
        columns = {key: name for key, name in source.columns.model_dump().items() if name}
        lines += [f"  columns: {_flow(columns)}"]
        lines += [_line(f"  probability_kind: {study.table.kind}", _KINDS[study.table.kind])]
    lines += [f"  {key}: {_flow(value)}" for key, value in settings.items()]
    lines.append(_line(f"  min_records: {study.min_records}", "surveys that a species must be in"))
    lines += ["", "covariates:", "  source: rasters", "  rasters: &rasters"]
    lines += [f"    - {_raster(each, folder)}" for each in study.rasters]
    lines += [
        "  # west, south, east, north, EPSG:3035 metres: the surveys and a margin",
        f"  bounds: &bounds {list(study.bounds)}",
        f"  resolution_m: {study.resolution_m}",
        "",
        _line("land:", "where a raster has a value; `naturalearth` knows countries too"),
        "  source: rasters",
        "  rasters: *rasters",
        "  bounds: *bounds",
        f"  resolution_m: {study.resolution_m}",
    ]
    return "\n".join(lines) + "\n"


_KINDS = {
    "occurrence": "every species was looked for in every survey",
    "recorded": "presence in a cell of an inventory",
    "relative": "presence-only records",
}


def _finetune(study: Study) -> str:
    blocks, waves = study.blocks, _flow([int(each) if each.is_integer() else each for each in study.wavelengths_km])
    lines = [
        "# A network and a random forest; one of each for every fold, then of all surveys.",
        "surveys: surveys.parquet",
        "covariates: covariates.zarr",
    ]
    if study.alone:
        lines.append(_line("presence: {loss: assume_negative, background: uniform}", "all places, to compare with"))
    lines += [
        _line("forest: {}", "averaged with the network; `null` for the network alone"),
        "model:",
        _line(f"  location: {{wavelengths_km: {waves}}}", "from the region's length down to two blocks"),
        _line("  partial_covariates: true", "where one is missing, use the others"),
        _line(f"blocks: {{size_m: {blocks.size_m:.0f}, folds: {blocks.folds}}}", "places held out together"),
        _line(f"optim: {{batch: {study.batch}, epochs: {study.epochs}}}", "by the number of surveys"),
    ]
    if study.in_process:
        lines.append(_line("workers: {count: 0, threads: 1}", "small data: in this process; 1 or more through Ray"))
    return "\n".join(lines) + "\n"


def _cells(study: Study) -> list[str]:
    return [
        "land: land.zarr",
        "covariates: covariates.zarr",
        _line("surveys: surveys.parquet", "for layers of distance and environmental similarity"),
        f"resolution_m: {study.resolution_m}",
    ]


def _map(study: Study) -> str:
    lines = ["# Every species in every cell of land.", *_cells(study)]
    lines.append(_line("spread: true", "layers that say how far the folds' models differ"))
    return "\n".join(lines) + "\n"


def _map_crossfit(study: Study) -> str:
    lines = ["# The map to score: each cell with a survey from the models that never saw its block.", *_cells(study)]
    lines += ["output: map-crossfit.zarr", "crossfit: true", "cells: surveyed"]
    return "\n".join(lines) + "\n"


def _evaluate(study: Study) -> str:
    blocks = study.blocks
    lines = [
        "# Scores of the cross-fitted map, with a random forest and boosted trees fitted in the same folds.",
        "maps: {map: map-crossfit.zarr}",
        "surveys: surveys.parquet",
        "covariates: covariates.zarr",
        _line(f"blocks: {{size_m: {blocks.size_m:.0f}, folds: {blocks.folds}}}", "as in finetune.yaml"),
        _line("explain: {model: model}", "importance of the covariates, and response curves"),
        _line(f"min_positives: {study.min_records}", "a species with fewer surveys counts in no mean"),
    ]
    return "\n".join(lines) + "\n"


def _indicators(study: Study) -> str:
    lines = ["# Richness and its uncertainty, and ranges of the species.", "map: map.zarr", "land: land.zarr"]
    if not study.alone:
        lines.append(_line("evaluation: evaluation", "its thresholds cut the ranges"))
    return "\n".join(lines) + "\n"


def _line(text: str, comment: str) -> str:
    return f"{text:<39} # {comment}"


def _raster(raster: OwnRaster, folder: Path) -> str:
    name, file = raster.entry.file, file_of(raster.entry.file)
    path = name.replace(file, _relative(file, folder))
    settings = raster.settings()
    return _flow({"file": path, **settings} if settings else path)


def _relative(path: str, folder: Path) -> str:
    """A local path as seen from the folder, unless the two share no more than the root; URLs as they are."""
    if "://" in path:
        return path
    full = os.path.abspath(os.path.expanduser(path))
    if os.path.commonpath([full, folder.resolve()]) == os.path.abspath(os.sep):
        return full
    return os.path.relpath(full, folder.resolve())


def _flow(value: Any) -> str:  # noqa: ANN401 - any YAML value
    """A value as YAML in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")
