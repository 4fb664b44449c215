"""The job `prepare`: build and seal each listed artefact alone, keep what is unchanged."""

import importlib
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from upath import UPath

from sdm_ray.job import Job, Plan
from sdm_ray.progress import say
from sdm_ray.sources import config as names
from sdm_ray.sources import pack_series
from sdm_ray.sources.base import Report, write_reports
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.download import ensure
from sdm_ray.sources.entry import FileSource, Source
from sdm_ray.sources.layers.config import Rasters
from sdm_ray.sources.layers.coverage import check_surveys_covered
from sdm_ray.sources.occurrences.merge import Gathered
from sdm_ray.sources.photos import pack
from sdm_ray.sources.virtual.config import Virtual
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import write_covariates
from sdm_ray.stores.land import write_land
from sdm_ray.tracking import Tracker

_KINDS = {
    names.SURVEYS: "surveys",
    names.OCCURRENCES: "surveys",
    names.LAND: "land",
    names.COVARIATES: "covariates",
    names.TRUTH: "map",
    names.PARCELS: "parcels",
    names.CUBE: "cube",
    names.SHARDS: "shards",
    names.SERIES: "series",
}


def run(config: PrepareConfig, tracker: Tracker) -> None:
    """Build what the configuration lists.

    Every source file is looked for (and fetched where an address is given) before anything is built; tables are
    read before Ray starts.

    Raises:
        InputError: a file is missing or cannot be used, or more rows than allowed cannot be used.
    """
    gathered = Gathered(config)
    makers = _MAKERS | {
        names.SURVEYS: lambda _, job: gathered.write_surveys(job),
        names.OCCURRENCES: lambda _, job: gathered.write_occurrences(job),
    }
    plans = {name: _plan(config, name, sources) for name, sources in config.artefacts()}
    for name, plan in plans.items():
        if plan.finished():
            say(f"prepare: {plan.output} is finished and unchanged: kept")
            _check_coverage(config, name)
            continue
        plan.make_ready()
        start = time.monotonic()
        figures = plan.make(tracker, partial(makers[name], config))
        shown = ", ".join(f"{key} {value}" for key, value in figures.items() if isinstance(value, int | float | str))
        say(f"prepare: artefact {plan.output} ({shown}; {time.monotonic() - start:.0f} s)")
        prefix = name.partition(".")[0]
        tracker.metrics({f"{prefix}.{key}": value for key, value in figures.items() if isinstance(value, int | float)})
        _check_coverage(config, name)
    say(f"prepare: MLflow run {tracker.where}")


def _plan(config: PrepareConfig, name: str, sources: list[Source]) -> Plan:
    inputs: dict[str, str] = {}
    shaping: list[dict[str, Any]] = []
    for number, source in enumerate(sources):
        prefix = f"{number}." if len(sources) > 1 else ""
        for key, file in source.files().items():
            place = UPath(file)
            download = source.download.get(key) if isinstance(source, FileSource) else None
            ensure(place, download, f"{name}: {key}")
            inputs[f"{prefix}{key}"] = artefact.fingerprint(artefact.identity(place))
        shaping.append(source.shaping())
    made_from: dict[str, Any] = {str(number): each for number, each in enumerate(shaping)}
    if len(shaping) == 1:
        made_from = shaping[0]
    if any(isinstance(source, Virtual) for source in sources):
        made_from |= {"virtual": config.virtual.model_dump(mode="json"), "seed": config.seed}
    if name in (names.SURVEYS, names.OCCURRENCES) and config.synonyms is not None:
        place = UPath(config.synonyms)
        ensure(place, None, "synonyms")
        inputs["synonyms"] = artefact.fingerprint(artefact.identity(place))
    if config.occurrences and name in (names.SURVEYS, names.OCCURRENCES):
        made_from["surveys"] = len(config.surveys)  # how many of the sources are surveys
    if name == names.SHARDS:
        made_from["images_per_shard"] = config.images_per_shard
    cited = sorted({source.cite() for source in sources} - {""})
    companions = ("species.parquet", "species.report.json", f"{name}.report.json") if _KINDS[name] == "surveys" else ()
    return Plan(config.path(config.written(name)), _KINDS[name], made_from, inputs, cited, companions)


def _module(source: Source) -> ModuleType:
    return importlib.import_module(f"sdm_ray.sources.{source.module}")


def _land(config: PrepareConfig, job: Job) -> dict[str, Any]:
    source = config.land
    assert source is not None
    made = _module(source).land(source, config)
    write_land(job.output, made.grid, made.land, made.country, made.names)
    nowhere = int((made.land & (made.country == 0)).sum())
    return {"land_cells": int(made.land.sum()), "countries": len(made.names), "land_without_country": nowhere}


def _covariates(config: PrepareConfig, job: Job) -> dict[str, Any]:
    source = config.covariates
    assert source is not None
    made = _module(source).covariates(source, config)
    detail = max(made.effective_resolution_m, made.grid.resolution)  # a fine raster on a coarse grid has lost its own
    write_covariates(job.output, made.grid, made.names, made.values, detail, made.embeddings)
    return {"covariates": len(made.names), "cells": made.grid.width * made.grid.height}


def _check_coverage(config: PrepareConfig, name: str) -> None:
    """Once covariates are there, see that they cover the surveys of the same job."""
    if name == names.COVARIATES and config.surveys and isinstance(config.covariates, Rasters):
        paths = config.path(names.COVARIATES), config.path(names.SURVEYS)
        check_surveys_covered(*paths, config.covariates.max_unknown)


def _truth(config: PrepareConfig, job: Job) -> dict[str, Any]:
    source = config.truth
    assert source is not None
    return _module(source).truth(source, config, job.output)


def _parcels(config: PrepareConfig, job: Job) -> dict[str, Any]:
    source = config.parcels
    assert source is not None
    return _module(source).units(source, config, job.output)


def _cube(config: PrepareConfig, job: Job) -> dict[str, Any]:
    source = config.cube
    assert source is not None
    return _module(source).cube(source, config, job)


def _shards(config: PrepareConfig, job: Job) -> dict[str, Any]:
    lists = [_module(source).images(source, config) for source in config.shards]
    for source, each in zip(config.shards, lists, strict=True):
        _check(each.report, source)  # by their coordinates, before anything is read
    if job.resumed:
        say(f"prepare: continuing {job.output}")
    pack.pack(job.output, lists, config.images_per_shard)
    reports = [each.report for each in lists]
    write_reports(job.output / "report.json", reports)
    try:
        for source, report in zip(config.shards, reports, strict=True):
            _check(report, source)
    except Exception:
        pack.forget_faulty(job.output)
        raise
    index = pack.finish(job.output)
    figures = {f"images_{scale}": int(count) for scale, count in index["scale"].value_counts().items()}
    dropped = {"dropped": sum(report.lost for report in reports)}
    return {"images": len(index), **figures, **dropped, "sources": [report.figures() for report in reports]}


def _series(config: PrepareConfig, job: Job) -> dict[str, Any]:
    lists = [_module(source).series(source, config) for source in config.series]
    if job.resumed:
        say(f"prepare: continuing {job.output}")
    counts = pack_series.pack(job.output, lists)
    reports = [each.report for each in lists]
    write_reports(job.output / "report.json", reports)
    try:
        for source, report in zip(config.series, reports, strict=True):
            _check(report, source)
    except Exception:
        pack_series.forget_faulty(job.output)
        raise
    pack_series.finish(job.output)
    dropped = {"dropped": sum(report.lost for report in reports)}
    return {**counts, **dropped, "sources": [report.figures() for report in reports]}


def _check(report: Report, source: Source) -> None:
    if isinstance(source, FileSource):
        report.check(source.max_dropped)


_MAKERS: dict[str, Callable[[PrepareConfig, Job], dict[str, Any]]] = {
    names.LAND: _land,
    names.COVARIATES: _covariates,
    names.TRUTH: _truth,
    names.PARCELS: _parcels,
    names.CUBE: _cube,
    names.SHARDS: _shards,
    names.SERIES: _series,
}
