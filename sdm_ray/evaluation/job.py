"""The job `evaluate`: scores of cross-fitted maps, of baselines in the same folds, and of encoders."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.evaluation import coordinate_errors, explain, held_out_data, occurrence_scores, pictures, regions, tables
from sdm_ray.evaluation.config import CoordinatesConfig, EvaluateConfig, ExplainConfig
from sdm_ray.evaluation.folds import Fold, calibrated, folds_of, held_out_by
from sdm_ray.evaluation.map_checks import blocks_of
from sdm_ray.evaluation.methods import Predictions, baseline_predictions, map_predictions, where_all_predict
from sdm_ray.evaluation.report_sections import sections
from sdm_ray.evaluation.scores import HeldOutSurveys, as_json, number, score
from sdm_ray.evaluation.summary import flat, headline
from sdm_ray.job import Job
from sdm_ray.metrics.block_bootstrap import METRICS, mean_interval
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.plots.html import render
from sdm_ray.progress import say
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.maps import Map


def run(config: EvaluateConfig, job: Job) -> dict[str, Any]:
    """Score maps and baselines, and the encoder; writes metrics.json, tables, pictures and evaluation.html.

    Raises:
        InputError: a map or encoder did not hold out what is scored, a map lacks a species or too many surveys; a fold
            is empty or holds a single class.
    """
    figures = _score_maps(config, job) if config.maps else {}
    if config.coordinates is not None:
        figures["coordinates"] = _coordinate_errors(config, config.coordinates)
    (job.output / "metrics.json").write_text(json.dumps(figures, indent=1))
    (job.output / "evaluation.html").write_text(render("Evaluation", headline(figures), sections(job.output, figures)))
    say(f"evaluate: {headline(figures)}")
    return flat(figures)


def _score_maps(config: EvaluateConfig, job: Job) -> dict[str, Any]:
    """Scores of maps and baselines; writes tables and pictures."""
    first = config.path(next(iter(config.maps.values())))
    config = config.model_copy(update={"blocks": config.blocks or blocks_of(first)})
    species = held_out_data.map_species(first)
    land = config.path(config.land) if config.land else None
    surveys, unmapped = held_out_data.read_held_out(config.path(config.surveys), species, config.held_out_blocks, land)
    surveys = _of_one_kind(config, surveys)
    say(f"evaluate: {len(surveys.labels)} surveys, {len(species)} species ({unmapped} more are not mapped)")
    holdout = HoldOut(config.held_out_blocks)
    maps, _ = map_predictions(config, surveys, config.maps, holdout)
    folds = folds_of(surveys.x, surveys.y, holdout)
    baselines, settings = baseline_predictions(config, surveys, folds)
    scored, predictions, outside = where_all_predict(config, surveys, {**maps, **baselines})
    leveled = predictions
    if has_levels(surveys.probability_kind):
        # Only scores of level: what one fold is calibrated by has the prevalence of the others, which costs ranks
        # across folds.
        leveled = where_all_predict(config, surveys, maps | calibrated(baselines, surveys.labels, folds))[1]
    how: dict[str, Any] = {"resamples": config.resamples, "seed": config.seed, "min_positives": config.min_positives}
    comparison, by_blocks = score(scored, predictions, scored.block, **how)
    numbers = holdout.fold(scored.x, scored.y)
    figures: dict[str, Any] = {
        "probability_kind": surveys.probability_kind,
        "min_positives": config.min_positives,
        "resamples": config.resamples,
        "held_out": held_out_by(config.held_out_blocks, surveys.x, surveys.y, folds),
        "pretraining": {label: Map(config.path(name)).attrs.get("pretraining") for label, name in config.maps.items()},
        "surveys_outside_the_map": outside,
        "species_not_mapped": unmapped,
        "blocks": by_blocks,
        "folds": score(scored, predictions, scored.block, folds=numbers, **how)[1],
        "within": {},
        "baselines": settings,
    }
    tested = folds_of(scored.x, scored.y, holdout)
    cuts = occurrence_scores.cuts_by_fold(scored, leveled, tested)
    by_survey = _sets(config, scored, leveled, tested, figures)
    per_species = comparison.species | occurrence_scores.species_scores(scored, leveled, cuts)
    _means(config, scored, per_species, figures)
    figures["calibration_by_prevalence"] = occurrence_scores.calibration_by_prevalence(scored, leveled, per_species)
    countries = regions.by_country(scored, predictions, config.min_positives, cuts, by_survey, leveled)
    figures["within"]["blocks"] = regions.within(countries)
    if config.countries_out:
        figures["countries"], figures["within"]["countries"] = _countries_out(config, surveys)
    truth = _truth(config, surveys, figures)
    if config.explain is not None:
        figures["importance"] = _explain(config, config.explain, surveys, folds, job.output)
    main = next(iter(predictions))
    written = {
        "species.csv": tables.species_table(scored, per_species, truth),
        "thresholds.csv": tables.threshold_table(scored, predictions[main]),
        "countries.csv": countries,
    }
    if has_levels(scored.probability_kind):
        f1 = {name: methods[main] for name, methods in by_survey.items() if name.startswith("f1")}
        errors = regions.survey_errors(scored, predictions[main]) | f1
        written["blocks.csv"] = regions.by_block(scored, errors, config.held_out_blocks)
    for name, table in written.items():
        (job.output / name).write_text(table.to_csv(index=False))
    drawn = (scored, leveled, comparison, written.get("blocks.csv"), config.held_out_blocks.size_m)
    for picture in pictures.write_pictures(job.output, *drawn):
        job.tracker.picture(picture)
    return figures


def _sets(
    config: EvaluateConfig,
    surveys: HeldOutSurveys,
    predictions: Predictions,
    folds: list[Fold],
    figures: dict[str, Any],
) -> regions.BySurvey:
    """Scores of each survey's set of species, whose means are added to the figures; none for `relative` ones."""
    if not has_levels(surveys.probability_kind):
        return {}
    by_survey, figures["species_means"] = occurrence_scores.set_scores(surveys, predictions, folds, config)
    how = {"resamples": config.resamples, "seed": config.seed}
    figures["surveys"] = {
        score: {method: as_json(mean_interval(each, surveys.block, **how)) for method, each in methods.items()}
        for score, methods in by_survey.items()
    }
    return by_survey


def _means(
    config: EvaluateConfig,
    surveys: HeldOutSurveys,
    species: Mapping[str, Mapping[str, np.ndarray]],
    figures: dict[str, Any],
) -> None:
    """Add means of the species' scores to the figures, over all species with enough surveys and by prevalence."""
    counted = np.count_nonzero(surveys.labels, axis=0) >= config.min_positives
    means = {
        score: {method: number(float(np.nanmean(each[counted]))) for method, each in methods.items()}
        for score, methods in species.items()
        if score not in METRICS  # whose means have intervals
    }
    figures["species_means"] = means | figures.get("species_means", {})
    figures["prevalence"] = occurrence_scores.by_prevalence(surveys, species, config.min_positives)


def _explain(
    config: EvaluateConfig, explained: ExplainConfig, surveys: HeldOutSurveys, folds: list[Fold], folder: UPath
) -> dict[str, Any]:
    """Permutation importance of the inputs; writes response curves as a table and a picture."""
    tested = explain.read_tested(config, explained, surveys, folds)
    how = {"resamples": config.resamples, "min_positives": config.min_positives}
    drops = explain.importance(tested, surveys, explained.groups, seed=config.seed, **how)
    curves = explain.responses(tested, surveys.species, explained.steps, config.seed)
    (folder / "responses.csv").write_text(curves.to_csv(index=False))
    pictures.write_explanation(folder, surveys, drops, curves)
    return {name: as_json(drop) for name, drop in drops.items()}


def _coordinate_errors(config: EvaluateConfig, settings: CoordinatesConfig) -> dict[str, dict[str, dict[str, Any]]]:
    """Scale -> simulated error -> how well it is detected."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for scale, shards in settings.scales.items():
        detections = coordinate_errors.detect(
            settings, config.path(settings.encoder), config.path(shards), scale, config.seed
        )
        found[scale] = {error: asdict(each) for error, each in detections.items()}
    return found


def _of_one_kind(config: EvaluateConfig, surveys: HeldOutSurveys) -> HeldOutSurveys:
    """The surveys, of kind `relative` where a map holds relative suitabilities: all methods are then scored by rank."""
    kinds = {label: Map(config.path(name)).probability_kind for label, name in config.maps.items()}
    ranks = [label for label, kind in kinds.items() if not has_levels(kind)]
    if ranks and has_levels(surveys.probability_kind):
        say(f"evaluate: {ranks[0]} holds relative suitabilities: methods are scored by rank alone")
        return replace(surveys, probability_kind=kinds[ranks[0]])
    return surveys


def _countries_out(config: EvaluateConfig, surveys: HeldOutSurveys) -> tuple[dict[str, Any], dict[str, float | None]]:
    """Scores with whole countries left out, of the baselines and of the map for it; AUC within countries by method."""
    assert config.land is not None
    holdout = HoldOut(config.held_out_blocks, str(config.path(config.land)))
    folds = folds_of(surveys.x, surveys.y, holdout, surveys.country)
    named = {next(iter(config.maps)): config.countries_out_map} if config.countries_out_map else {}
    maps, of_other_folds = map_predictions(config, surveys, named, holdout)
    baselines, _ = baseline_predictions(config, surveys, folds)
    scored, predictions, left_out = where_all_predict(config, surveys, {**maps, **baselines})
    assert scored.country is not None
    groups = np.unique(scored.country, return_inverse=True)[1]
    how: dict[str, Any] = {"resamples": config.resamples, "seed": config.seed, "min_positives": config.min_positives}
    _, figures = score(scored, predictions, groups, **how)
    figures |= {"surveys_left_out": left_out, "surveys_in_cells_of_other_folds": of_other_folds}
    return figures, regions.within(regions.by_country(scored, predictions, config.min_positives))


def _truth(config: EvaluateConfig, surveys: HeldOutSurveys, figures: dict[str, Any]) -> dict[str, np.ndarray]:
    """Rank correlations of maps with the truth by species, whose means are added to the figures."""
    if config.truth is None:
        return {}
    compared = {label: config.path(name) for label, name in config.compared_with_truth().items()}
    found, cells = held_out_data.truth_correlation(
        config.path(config.truth), compared, surveys, config.truth_cells, config.seed
    )
    figures["truth"] = {
        label: {"spearman": number(float(np.nanmean(each))), "cells": cells} for label, each in found.items()
    }
    return found
