"""`sdm-ray init`: see what a table and rasters hold, and write the folder of YAML files that `sdm-ray run` takes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sdm_ray.config import load
from sdm_ray.errors import InputError, few
from sdm_ray.geo.grid import to_xy
from sdm_ray.init import yaml_files
from sdm_ray.init.layers import outside, read_own_rasters
from sdm_ray.init.stated import Stated
from sdm_ray.init.study import FEW_SURVEYS, Study, occupied, plan
from sdm_ray.init.table import read_own_table
from sdm_ray.jobs import config_class


def create(folder: Path, table: str, rasters: Sequence[str], stated: Stated, *, overwrite: bool = False) -> list[str]:
    """Write the YAML files of a study; returns what was found and chosen, line by line.

    Args:
        folder: where the files go.
        table: of species records.
        rasters: of covariates; files or patterns.
        stated: what the person states where it cannot be guessed.
        overwrite: whether files that are there may be replaced.

    Raises:
        InputError: the table or a raster cannot be used, something has to be stated, or the files are there already.
    """
    there = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    if there and not overwrite:
        raise InputError(f"{there[0]}: is there already; name another folder, or replace it with --overwrite")
    layers = read_own_rasters(list(rasters), stated)
    study = plan(read_own_table(table, stated), layers, stated.resolution)
    files = yaml_files.texts(study, folder)
    lines = list(_lines(study))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in files:  # what is written can be run
        load(folder / name, config_class(name.partition(".")[0].partition("-")[0]))
    lines.append(f"wrote {', '.join(files)} into {folder}")
    lines.append(f"look at them, then: sdm-ray run {folder}")
    return lines


def _lines(study: Study) -> Iterator[str]:
    """What was found and what was chosen."""
    table, report = study.table, study.table.report
    yield f"table {report.name}: {report.rows} rows, {len(table.surveys)} surveys, {len(table.species)} species"
    yield from (f"  {note}" for note in table.notes)
    for what in ("dropped", "left"):
        for fault, keys in getattr(report, what).items():
            yield f"  left out: {len(keys)} rows, {fault.replace('_', ' ')}; first {keys[0]}"
    rare = [name for name, count in zip(table.species, study.counts, strict=False) if count < study.min_records]
    if rare:
        yield f"  left out: {few(rare, 3)}, in fewer than {study.min_records} surveys (min_records in prepare.yaml)"
    if len(table.surveys) < FEW_SURVEYS:
        yield f"  {len(table.surveys)} surveys are few: scores will depend much on which blocks are held out"
    x, y = to_xy(*(table.surveys[name].to_numpy(np.float64) for name in ("lon", "lat")))
    yield "rasters"
    yield from (f"  {each.line}" for each in study.rasters)
    yield from (f"  {line}" for line in outside(study.rasters, x, y))
    columns, rows = study.cells
    yield f"map of {columns} x {rows} cells of {study.resolution_m} m around the surveys"
    yield (
        f"held out together: blocks of {study.blocks.size_m / 1000:g} km, {occupied(study)} of them with surveys, in"
        f" {study.blocks.folds} folds"
    )
    yield f"training: steps of {study.batch} surveys, at most {study.epochs} epochs"
    yield from (f"no {line}" for line in yaml_files.left_out(study))
