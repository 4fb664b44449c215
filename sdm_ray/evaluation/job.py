"""The job `evaluate`: cross-fitted maps at the surveys beside baselines of the same folds; encoders on wrong places."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.evaluation import coordinate_errors, explain, held_out_data, occurrence_scores, regions, report_sections
from sdm_ray.evaluation.config import CoordinatesConfig, EvaluateConfig, ExplainConfig
from sdm_ray.evaluation.folds import Fold, folds_of, held_out_by
from sdm_ray.evaluation.methods import Predictions, baseline_predictions, map_predictions, where_all_predict
from sdm_ray.evaluation.scores import Held, as_json, number, score
from sdm_ray.job import Job
from sdm_ray.metrics.block_bootstrap import METRICS, mean_interval
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.plots.html import render
from sdm_ray.progress import say
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.maps import Map


def run(config: EvaluateConfig, job: Job) -> dict[str, Any]:
    """Score the maps and the baselines, and try the encoder; writes metrics.json, tables, pictures and evaluation.html.

    Raises:
        InputError: a map or encoder did not hold out what is scored, a map lacks a species or too many surveys; a fold
            is empty or holds a single class.
    """
    figures = _score_maps(config, job) if config.maps else {}
    if config.coordinates is not None:
        figures["coordinates"] = _wrong_coordinates(config, config.coordinates)
    (job.output / "metrics.json").write_text(json.dumps(figures, indent=1))
    page = render("Evaluation", report_sections.headline(figures), report_sections.sections(job.output, figures))
    (job.output / "evaluation.html").write_text(page)
    say(f"evaluate: {report_sections.headline(figures)}")
    return report_sections.flat(figures)


def _score_maps(config: EvaluateConfig, job: Job) -> dict[str, Any]:
    """Figures of maps and baselines; writes two tables and the pictures."""
    species = held_out_data.map_species(config.path(next(iter(config.maps.values()))))
    land = config.path(config.land) if config.land else None
    held, unmapped = held_out_data.read_held(config.path(config.surveys), species, config.blocks, land)
    held = _of_one_kind(config, held)
    say(f"evaluate: {len(held.labels)} surveys, {len(species)} species ({unmapped} more are not in the map)")
    holdout = HoldOut(config.blocks)
    maps, _ = map_predictions(config, held, config.maps, holdout)
    folds = folds_of(held.x, held.y, holdout)
    baselines, settings = baseline_predictions(config, held, folds)
    scored, predictions, outside = where_all_predict(config, held, {**maps, **baselines})
    how: dict[str, Any] = {"resamples": config.resamples, "seed": config.seed, "min_positives": config.min_positives}
    comparison, by_blocks = score(scored, predictions, scored.block, **how)
    numbers = holdout.fold(scored.x, scored.y)
    figures: dict[str, Any] = {
        "probability_kind": held.probability_kind,
        "min_positives": config.min_positives,
        "resamples": config.resamples,
        "held_out": held_out_by(config.blocks, held.x, held.y, folds),
        "surveys_outside_the_map": outside,
        "species_not_mapped": unmapped,
        "blocks": by_blocks,
        "folds": score(scored, predictions, scored.block, folds=numbers, **how)[1],
        "within": {},
        "baselines": settings,
    }
    tested = folds_of(scored.x, scored.y, holdout)
    cuts = occurrence_scores.cuts_by_fold(scored, predictions, tested)
    surveys = _sets(config, scored, predictions, tested, figures)
    per_species = comparison.species | occurrence_scores.species_scores(scored, predictions, cuts)
    _means(config, scored, per_species, figures)
    figures["calibration_by_prevalence"] = occurrence_scores.calibration_by_prevalence(scored, predictions, per_species)
    countries = regions.by_country(scored, predictions, config.min_positives, cuts, surveys)
    figures["within"]["blocks"] = regions.within(countries)
    if config.countries_out:
        figures["countries"], figures["within"]["countries"] = _countries_out(config, held)
    truth = _truth(config, held, figures)
    if config.explain is not None:
        figures["importance"] = _explain(config, config.explain, held, folds, job.output)
    main = next(iter(predictions))
    tables = {
        "species.csv": report_sections.species_table(scored, per_species, truth),
        "thresholds.csv": report_sections.cut_table(scored, predictions[main]),
        "countries.csv": countries,
    }
    if has_levels(scored.probability_kind):
        errors = regions.survey_errors(scored, predictions[main])
        by_survey = errors | {score: methods[main] for score, methods in surveys.items() if score.startswith("f1")}
        tables["blocks.csv"] = regions.by_block(scored, by_survey, config.blocks)
    for name, table in tables.items():
        (job.output / name).write_text(table.to_csv(index=False))
    drawn = (scored, predictions, comparison, tables.get("blocks.csv"), config.blocks.size_m)
    for picture in report_sections.write_pictures(job.output, *drawn):
        job.tracker.picture(picture)
    return figures


def _sets(
    config: EvaluateConfig, held: Held, predictions: Predictions, folds: list[Fold], figures: dict[str, Any]
) -> regions.BySurvey:
    """Scores of each survey's set of species; their means go into the figures. None of `relative` probabilities."""
    if not has_levels(held.probability_kind):
        return {}
    surveys, figures["species_means"] = occurrence_scores.set_scores(held, predictions, folds, config)
    how = {"resamples": config.resamples, "seed": config.seed}
    figures["surveys"] = {
        score: {method: as_json(mean_interval(each, held.block, **how)) for method, each in methods.items()}
        for score, methods in surveys.items()
    }
    return surveys


def _means(
    config: EvaluateConfig,
    held: Held,
    species: Mapping[str, Mapping[str, np.ndarray]],
    figures: dict[str, Any],
) -> None:
    """Means of the species' scores over all that count, and by prevalence, into the figures."""
    counted = np.count_nonzero(held.labels, axis=0) >= config.min_positives
    means = {
        score: {method: number(float(np.nanmean(each[counted]))) for method, each in methods.items()}
        for score, methods in species.items()
        if score not in METRICS  # which have intervals of their own
    }
    figures["species_means"] = means | figures.get("species_means", {})
    figures["prevalence"] = occurrence_scores.by_prevalence(held, species, config.min_positives)


def _explain(
    config: EvaluateConfig, explained: ExplainConfig, held: Held, folds: list[Fold], folder: UPath
) -> dict[str, Any]:
    """Importance of the inputs; writes the response curves as a table and a picture."""
    tested = explain.read_tested(config, explained, held, folds)
    how = {"resamples": config.resamples, "min_positives": config.min_positives}
    drops = explain.importance(tested, held, explained.groups, seed=config.seed, **how)
    curves = explain.responses(tested, held.species, explained.steps, config.seed)
    (folder / "responses.csv").write_text(curves.to_csv(index=False))
    report_sections.write_explained(folder, held, drops, curves)
    return {name: as_json(drop) for name, drop in drops.items()}


def _wrong_coordinates(config: EvaluateConfig, tried: CoordinatesConfig) -> dict[str, dict[str, dict[str, Any]]]:
    """Scale -> fault -> how well it is told."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for scale, shards in tried.scales.items():
        detections = coordinate_errors.detect(
            tried, config.path(tried.encoder), config.path(shards), scale, config.seed
        )
        found[scale] = {fault: asdict(each) for fault, each in detections.items()}
    return found


def _of_one_kind(config: EvaluateConfig, held: Held) -> Held:
    """The surveys, of kind `relative` where a map holds relative suitabilities: all methods are then scored by rank."""
    kinds = {label: Map(config.path(name)).probability_kind for label, name in config.maps.items()}
    ranks = [label for label, kind in kinds.items() if not has_levels(kind)]
    if ranks and has_levels(held.probability_kind):
        say(f"evaluate: {ranks[0]} holds relative suitabilities: methods are scored by rank alone")
        return replace(held, probability_kind=kinds[ranks[0]])
    return held


def _countries_out(config: EvaluateConfig, held: Held) -> tuple[dict[str, Any], dict[str, float | None]]:
    """The second figure: baselines, and a map where there is one, that never saw a scored survey's country."""
    assert config.land is not None
    holdout = HoldOut(config.blocks, str(config.path(config.land)))
    folds = folds_of(held.x, held.y, holdout, held.country)
    named = {next(iter(config.maps)): config.countries_out_map} if config.countries_out_map else {}
    maps, of_other_folds = map_predictions(config, held, named, holdout)
    baselines, _ = baseline_predictions(config, held, folds)
    scored, predictions, left_out = where_all_predict(config, held, {**maps, **baselines})
    assert scored.country is not None
    groups = np.unique(scored.country, return_inverse=True)[1]
    how: dict[str, Any] = {"resamples": config.resamples, "seed": config.seed, "min_positives": config.min_positives}
    _, figures = score(scored, predictions, groups, **how)
    figures |= {"surveys_left_out": left_out, "surveys_in_cells_of_other_folds": of_other_folds}
    return figures, regions.within(regions.by_country(scored, predictions, config.min_positives))


def _truth(config: EvaluateConfig, held: Held, figures: dict[str, Any]) -> dict[str, np.ndarray]:
    """Rank correlations of maps with the truth by species; their means go into the figures."""
    if config.truth is None:
        return {}
    compared = {label: config.path(name) for label, name in config.compared_with_truth().items()}
    found, cells = held_out_data.truth_correlation(
        config.path(config.truth), compared, held, config.truth_cells, config.seed
    )
    figures["truth"] = {
        label: {"spearman": number(float(np.nanmean(each))), "cells": cells} for label, each in found.items()
    }
    return found
