"""Answers to the sections Model, Assessment and Prediction of ODMAP."""

import json
from typing import Any

from sdm_ray.documentation.facts import Facts
from sdm_ray.documentation.odmap_overview import TARGETS, ensemble
from sdm_ray.errors import few

_SHOWN = ("model", "optim", "forest", "probe", "presence", "calibration", "patience", "encoder", "freeze", "start")


def answers(facts: Facts) -> dict[str, str | None]:
    """Identifier of an element -> what is known of it; None where the author has to say it."""
    return {**_fitting(facts), **_selection(facts), **_assessment(facts), **_prediction(facts)}


def scores(facts: Facts) -> str | None:
    """Scores on held-out blocks, with intervals; None without an evaluation."""
    values = facts.evaluation.get("blocks", {}).get("values", {})
    if not values:
        return None
    parts = []
    for metric, methods in values.items():
        method, each = next(iter(methods.items()))
        parts.append(f"{metric.replace('_', ' ')} of {method} {_interval(each)}")
    return "; ".join(parts) + " (means over species on held-out blocks, 95 % intervals from resampled blocks)"


def validation(facts: Facts) -> str | None:
    """Figures of the blocks that chose the number of epochs."""
    known = {name: facts.metrics[name] for name in ("auc", "bce", "accuracy") if name in facts.metrics}
    if not known:
        return None
    where = "held-out blocks of all folds" if facts.training.get("pooled") else "validation blocks"
    return f"on the {where}: " + ", ".join(f"{name} {value:.4f}" for name, value in known.items())


def importance(facts: Facts) -> str | None:
    """Permutation importance; None where the evaluation has none."""
    found = facts.evaluation.get("importance", {})
    ranked = [f"{name} {_interval(each)}" for name, each in found.items()]
    return f"decrease of AUC where an input is permuted: {few(ranked, 12)}" if ranked else None


def _interval(each: dict[str, Any]) -> str:
    if each.get("value") is None:
        return "not defined"
    return f"{each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})"


def _fitting(facts: Facts) -> dict[str, str | None]:
    if facts.model is None:
        return {}
    used = {name: facts.training[name] for name in _SHOWN if facts.training.get(name) is not None}
    config = facts.model.config
    size = f"embedding of {config.embedding} numbers, depth {config.depth}, width {config.hidden}"
    return {
        "m_settings_1": json.dumps(used, sort_keys=True) if used else None,
        "m_settings_2": "covariates are not clamped; a random forest is constant beyond the surveys' range; the layers"
        " of novelty say where a cell lies beyond it",
        "m_preselect_1": "none by the program: the covariates that the configuration names",
        "m_multicol_1": "correlated covariates are kept; weight decay, dropout and, in a forest, random subsets of them"
        " limit their effect; correlated ones can be permuted together (`explain.groups`)",
        "m_complex_1": f"{size}; one output for each of {len(facts.model.species)} species; epochs chosen on held-out"
        " blocks",
        "m_estim_1": "weights of the network, kept in model.safetensors; they have no ecological meaning one by one",
        "m_estim_2": _spread(facts),
        "m_estim_3": importance(facts),
    }


def _selection(facts: Facts) -> dict[str, str | None]:
    if facts.model is None:
        return {}
    epochs = facts.metrics.get("best_epoch")
    chosen = f"; {epochs} epochs" if epochs else ""
    time = facts.model.config.location is not None and facts.model.config.location.time
    unit = "whole countries" if facts.model.countries else f"blocks of {facts.model.blocks.size_m:g} m"
    cuts = "thresholds.csv of the evaluation (by species, from held-out surveys)"
    return {
        "m_selection_1": f"early stopping on validation blocks; weight decay{chosen}",
        "m_selection_2": ensemble(facts),
        "m_selection_3": f"{facts.model.folds} fold models, to be compared with each other" if facts.model.folds else
        "none",
        "m_depend_1": f"not modelled; scores come from {unit} that were held out, intervals from resampled blocks",
        "m_depend_2": "day and year are inputs of the location encoder" if time else "not modelled: years are pooled",
        "m_depend_3": "not modelled: each survey counts once; surveys of one block are held out together",
        "m_threshold_1": cuts if facts.evaluation else "none: the map holds probabilities",
    }  # fmt: skip


def _assessment(facts: Facts) -> dict[str, str | None]:
    history = facts.metrics.get("history") or []
    losses = [each["loss"] for each in history if "loss" in each]
    tested = scores(facts)
    if tested is None and facts.model is not None and not facts.model.folds:
        tested = "none: there are no fold models"
    return {
        "a_perform_1": f"loss on the training surveys, last epoch: {losses[-1]:.4f}" if losses else None,
        "a_perform_2": validation(facts),
        "a_perform_3": tested,
        "a_plausibility_1": "partial dependence on held-out surveys, responses.csv of the evaluation"
        if facts.evaluation.get("importance") else None,
    }  # fmt: skip


def _prediction(facts: Facts) -> dict[str, str | None]:
    bits, kind, scenario = facts.map.bits, facts.map.probability_kind, facts.scenario
    novelty = [name for name in ("environmental_similarity", "di", "inside_aoa") if name in facts.layers]
    return {
        "p_output_1": TARGETS.get(kind, kind),
        "p_output_2": f"stored in steps of 1/{(1 << bits) - 2}; cells off the land mask have no value",
        "p_uncertainty_1": _spread(facts),
        "p_uncertainty_2": "not carried into the probabilities; the layer `inputs` says what was known of each cell",
        "p_uncertainty_3": _spread(facts),
        "p_uncertainty_4": f"scenario {scenario}" if scenario else "none: there are no scenarios",
        "p_uncertainty_5": f"shown by the layers {', '.join(novelty)}, not masked" if novelty else
        "not shown: no layer of novelty was asked for",
    }  # fmt: skip


def _spread(facts: Facts) -> str:
    if "probability_spread" in facts.layers:
        return "standard deviation among the fold models, layers probability_spread and richness_spread"
    return "not mapped; `spread: true` of `map` adds how far the fold models differ"
