"""Answers to the section Data of ODMAP."""

import numpy as np

from sdm_ray.documentation.facts import Facts
from sdm_ray.stores.artefact import Record

_MOST_NAMES = 300
_NO_TIME = "none: one value for each cell, the covariates have no time axis"


def answers(facts: Facts) -> dict[str, str | None]:
    """Identifier of an element -> what is known of it; None where the author has to say it."""
    return {**_biodiversity(facts), **_partitions(facts), **_predictors(facts), **_transfer(facts)}


def _biodiversity(facts: Facts) -> dict[str, str | None]:
    species, record = facts.species, facts.record_of("surveys")
    more = f" and {len(species) - _MOST_NAMES} more" if len(species) > _MOST_NAMES else ""
    return {
        "d_bio_1": "; ".join(species[:_MOST_NAMES]) + more,
        "d_bio_2": "species",
        "d_bio_3": _taxonomy(facts),
        "d_bio_4": "; ".join(record.sources) if record else None,
        "d_bio_6": _sample_size(facts),
        "d_bio_7": _clipping(record),
        "d_bio_8": _scaling(facts, record),
        "d_bio_9": _absences(facts),
        "d_bio_10": _background(facts),
        "d_bio_11": _errors_and_biases(facts),
        "d_bio_12": _cleaning(record),
    }  # fmt: skip


def _partitions(facts: Facts) -> dict[str, str | None]:
    if facts.model is None:
        return {}
    blocks, folds = facts.model.blocks, facts.model.folds
    unit = "whole countries" if facts.model.countries else f"blocks of {blocks.size_m:g} m"
    used = facts.metrics.get("surveys", {})
    counts = ", ".join(f"{count} {name}" for name, count in used.items())
    buffer = f", {blocks.buffer_m:g} m around held-out blocks left out" if blocks.buffer_m else ""
    choice = f"{blocks.validation:.0%} of the {unit} for the number of epochs, {blocks.calibrate:.0%} for calibration"
    if facts.training.get("pooled"):
        choice = "epochs and calibration from the held-out predictions of the other folds"
    test = f"{unit} in {folds} folds, each predicted by the model that never saw it" if folds else None
    return {
        "d_part_1": f"surveys outside the {unit} that are set aside{buffer}; {counts or 'counts not recorded'}",
        "d_part_2": choice,
        "d_part_3": test or "none: there are no fold models",
    }


def _predictors(facts: Facts) -> dict[str, str | None]:
    record, store = facts.record_of("covariates"), facts.covariates
    cube = facts.record_of("cube") if facts.model is not None and facts.model.satellite is not None else None
    if facts.model is None:
        return {}
    if store is None and cube is None:
        none = "none: the model goes by coordinates and images alone"
        return dict.fromkeys(
            ("d_pred_1", "d_pred_2", "d_pred_3", "d_pred_4", "d_pred_5", "d_pred_8", "d_pred_10"), none
        )
    names = "; ".join(store.names) if store else ""
    bands = ", ".join(facts.model.satellite.bands) if facts.model.satellite else ""
    imagery = f"satellite bands {bands}" if bands else ""
    config = record.config if record else {}
    sources = [source for each in (record, cube) if each is not None for source in each.sources]
    bounds = (
        "{:.0f}, {:.0f}, {:.0f}, {:.0f} (xmin, ymin, xmax, ymax; EPSG:3035)".format(*store.grid.bounds)
        if store
        else None
    )
    detail = f"; carrying detail of {store.effective_resolution_m:g} m" if store else ""
    return {
        "d_pred_1": "; ".join(each for each in (names, imagery) if each),
        "d_pred_2": "; ".join(dict.fromkeys(sources)) or None,
        "d_pred_3": bounds,
        "d_pred_4": f"{store.grid.resolution:g} m{detail}" if store else None,
        "d_pred_5": "EPSG:3035 (ETRS89-LAEA)",
        "d_pred_7": _NO_TIME if store and not cube else None,
        "d_pred_8": f"brought to EPSG:3035 by {config.get('resampling', 'the source')} resampling; standardised by mean"
        " and standard deviation of the training surveys",
        "d_pred_10": "none",
    }


def _transfer(facts: Facts) -> dict[str, str | None]:
    novelty = [name for name in ("environmental_similarity", "di", "inside_aoa") if name in facts.layers]
    bounds = "{:.0f}, {:.0f}, {:.0f}, {:.0f} (xmin, ymin, xmax, ymax; EPSG:3035)".format(*facts.map.grid.bounds)
    scenario = facts.scenario
    return {
        "d_proj_1": "the predictors of the model, at every cell of the map",
        "d_proj_2": bounds,
        "d_proj_3": f"{facts.map.grid.resolution:g} m",
        "d_proj_5": _NO_TIME if facts.covariates and not facts.record.config.get("cube") else None,
        "d_proj_6": f"scenario {scenario}" if scenario else "none: present covariates of the same store",
        "d_proj_7": "as the predictor variables; a cell of the map takes the value at its centre",
        "d_proj_8": f"layers of the map: {', '.join(novelty)}" if novelty else "not measured",
    }


def _taxonomy(facts: Facts) -> str | None:
    if facts.model is None or "gbif_key" not in facts.model.species:
        return None
    known = int(facts.model.species["gbif_key"].notna().sum())
    total = len(facts.model.species)
    return f"names of the sources, parsed and normalised; keys of the GBIF backbone for {known} of {total} species"


def _sample_size(facts: Facts) -> str | None:
    surveys = facts.surveys
    if surveys is None or not len(surveys.presences):
        return None
    share = surveys.presences / surveys.count
    each = "; ".join(f"{name} {count}" for name, count in zip(facts.species, surveys.presences, strict=True))
    return (
        f"{surveys.count} surveys, {surveys.presences.sum()} presences; prevalence {share.min():.4f} to"
        f" {share.max():.4f}, median {np.median(share):.4f}. Presences: {each}"
    )


def _clipping(record: Record | None) -> str | None:
    if record is None:
        return None
    region = record.config.get("region")
    within = record.config.get("within")
    parts = [f"longitude and latitude within {region}"] if region else []
    parts += [f"within {str(within).rpartition('/')[2]}"] if within else []
    return "; ".join(parts) or "none"


def _scaling(facts: Facts, record: Record | None) -> str | None:
    if record is None:
        return None
    most, thin = record.config.get("max_uncertainty_m"), (facts.training.get("presence") or {}).get("thin_m")
    parts = [f"coordinates uncertain by more than {most:g} m left out"] if most else ["no limit on uncertainty"]
    return "; ".join(parts + ([f"one survey with the same species in squares of {thin:g} m"] if thin else []))


def _absences(facts: Facts) -> str:
    return {
        "occurrence": "a species that a survey does not list is absent there",
        "recorded": "a cell in which other species were recorded, and this one not, counts as an absence of a record",
        "relative": "none; places with records of other species stand for absences (target group)",
    }.get(facts.map.probability_kind, "not known")


def _background(facts: Facts) -> str | None:
    presence = facts.training.get("presence")
    if presence is None:
        return None
    if presence.get("background") is None:
        target = facts.map.probability_kind == "relative"
        return "target group: the places of all species" if target else "none: absences are those of the surveys"
    return f"{presence['background']} places, at most {presence.get('places')}"


def _errors_and_biases(facts: Facts) -> str:
    metres = None if facts.surveys is None else facts.surveys.uncertainty_m
    uncertainty = "" if metres is None else f"coordinates uncertain by {metres:g} m (median)"
    return "; ".join(each for each in (uncertainty, facts.no_data, "" if uncertainty else _effort(facts)) if each)


def _effort(facts: Facts) -> str:
    return {
        "occurrence": "detection is not modelled: probabilities are those of being found by such a survey",
        "recorded": "effort of the inventory is not modelled",
        "relative": "sampling bias is countered by the target group alone",
    }.get(facts.map.probability_kind, "not known")


def _cleaning(record: Record | None) -> str | None:
    if record is None:
        return None
    counted = {name: value for name, value in record.figures.items() if isinstance(value, int | float)}
    return "counted by `prepare`: " + ", ".join(
        f"{name.replace('_', ' ')} {value:g}" for name, value in counted.items()
    )
