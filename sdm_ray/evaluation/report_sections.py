"""The sections of an evaluation's page, from its `metrics.json`, tables and pictures."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from upath import UPath

from sdm_ray.evaluation.formatting import KINDS, NAMES, RULES, interval, name_of, shown
from sdm_ray.evaluation.pictures import CAPTIONS, HALF_WIDTH
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.plots.html import Picture, Section, Table

_SCHEMES = {
    "blocks": "Held-out blocks",
    "folds": "Held-out blocks, scored within folds",
    "countries": "Whole countries left out",
}
_NOTES = {
    "blocks": "Predictions of all folds are pooled, so that differences of level between the folds' models lower the"
    " scores.",
    "folds": "Means of the scores within folds, the usual figure of cross-validation: how well each fold's model ranks"
    " places.",
    "countries": "No survey of a scored country was used for training, so that models extrapolate across borders, where"
    " inventories differ as well. Scores are usually lower than on held-out blocks.",
}
_FEW_UNITS = 10  # resampled units below which intervals are unreliable
_CALIBRATED = (
    "The models of a map are calibrated on blocks that they did not learn from, and for these scores so are the"
    " baselines: those of each fold by what the other folds' fits predict for their own held-out surveys. AUC and"
    " average precision are of the baselines as they are, since calibration fold by fold costs ranks across folds."
)


def sections(folder: UPath, figures: Mapping[str, Any]) -> list[Section]:
    """The sections of an evaluation's page.

    Args:
        folder: of the evaluation.
        figures: content of its `metrics.json`.
    """
    made = [_scheme_section(scheme, figures) for scheme in _SCHEMES if scheme in figures]
    if made:
        names = [name for name in CAPTIONS if (folder / name).exists()]
        made[0].pictures.extend(
            Picture(CAPTIONS[name], (folder / name).read_bytes(), half=name in HALF_WIDTH) for name in names
        )
    if "species_means" in figures:
        made.append(_probability_section(figures))
    if (folder / "countries.csv").exists():
        made += _country_section(folder / "countries.csv", figures)
    if "truth" in figures:
        header = ["map", "mean Spearman correlation with the truth", "cells without surveys"]
        rows = [[label, shown(each["spearman"]), each["cells"]] for label, each in figures["truth"].items()]
        made.append(Section("Comparison with the truth", tables=[Table("Mean over species", header, rows)]))
    if "coordinates" in figures:
        made.append(_coordinates_section(figures["coordinates"]))
    return made


def _scheme_section(scheme: str, figures: Mapping[str, Any]) -> Section:
    """Scores under one scheme of holding out."""
    scores = figures[scheme]
    unit = "countries" if scheme == "countries" else "blocks"
    texts = [
        f"{scores['surveys']} surveys; values are {KINDS[figures['probability_kind']]}. Macro means over"
        f" {scores['species_counted']} species with at least {figures['min_positives']} surveys;"
        f" {scores['species_left_out']} species are left out. 95 % intervals from {figures['resamples']} bootstrap"
        f" resamples of {scores['resampled']} {unit}, the same for every method.",
        _NOTES[scheme],
    ]
    if scores["resampled"] < _FEW_UNITS:
        texts.append(f"Intervals from {scores['resampled']} {unit} are unreliable.")
    if scheme == "blocks" and "held_out" in figures:
        texts.insert(1, _held_out_text(figures["held_out"]))
    transductive = [label for label, each in figures.get("pretraining", {}).items() if each == "transductive"]
    if transductive and scheme != "countries":
        texts.append(f"{', '.join(transductive)}: the encoder was pretrained on images of held-out blocks as well.")
    if scores.get("surveys_left_out"):
        texts.append(
            f"{scores['surveys_left_out']} surveys are left out, where a method has no held-out value;"
            f" {scores['surveys_in_cells_of_other_folds']} of them lie in a cell of another fold."
        )
    within = figures.get("within", {}).get(scheme, {})
    if within:
        texts.append(
            "AUC within countries compares surveys of the same country only, so that differences between countries do"
            " not raise it."
        )
    return Section(_SCHEMES[scheme], texts, _score_tables(scores, within))


def _held_out_text(held_out: Mapping[str, Any]) -> str:
    """How blocks were held out, and how near training surveys come."""
    buffer = f"a buffer of {held_out['buffer_km']:g} km" if held_out["buffer_km"] else "no buffer"
    text = f"{held_out['folds']} folds of {held_out['block_km']:g}-km blocks with {buffer}."
    if held_out["nearest_training_km"] is None:
        return text
    return (
        f"{text} The nearest training survey is a median of {held_out['nearest_training_km']:.1f} km away from a test"
        f" survey; for 5 % of them it is within {held_out['nearest_training_km_p5']:.1f} km."
    )


def _probability_section(figures: Mapping[str, Any]) -> Section:
    """Scores of probabilities and sets of species, and scores by prevalence."""
    absolute = has_levels(figures["probability_kind"])
    texts = ["Scores that need probabilities are left out for relative suitabilities."]
    if absolute:
        texts = [
            "Thresholds and sizes of sets for a fold are chosen on the held-out surveys of the other folds. For Brier"
            " score and expected calibration error lower is better.",
            _CALIBRATED,
            "Sets of species: " + "; ".join(f"{name}: {definition}" for name, definition in RULES.values()) + ".",
        ]
    methods = list(next(iter(figures["species_means"].values())))
    rows = [[name_of(s), *(interval(each[m]) for m in methods)] for s, each in figures.get("surveys", {}).items()]
    tables = [Table("Means over surveys [95 % interval]", ["score", *methods], rows)] if rows else []
    rows = [[name_of(s), *(shown(each[m]) for m in methods)] for s, each in figures["species_means"].items()]
    tables.append(Table("Scores over species", ["score", *methods], rows))
    rows = [
        [_prevalence(each), each["species"], *(shown(value) for value in each["values"]["auc"].values())]
        for each in figures["prevalence"]
    ]
    tables.append(Table("Mean AUC by prevalence", ["prevalence", "species", *methods], rows))
    tables += _calibration_tables(figures.get("calibration_by_prevalence", []))
    return Section("Probabilities and sets of species" if absolute else "Ranks of places", texts, tables)


def _calibration_tables(classes: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Calibration by class of prevalence; nothing for `relative` probabilities."""
    if not classes:
        return []
    methods = list(classes[0]["predicted"])
    rows: dict[str, list[list[object]]] = {"ratio": [], "calibration_error": []}
    for each in classes:
        first = [_prevalence(each), each["species"], shown(each["observed"], ".5f")]
        for name, form in (("ratio", ".2f"), ("calibration_error", ".5f")):
            rows[name].append([*first, *(shown(each[name][method], form) for method in methods)])
    header = ["prevalence", "species", "observed prevalence", *methods]
    return [
        Table("Mean predicted probability divided by observed prevalence (calibrated: 1)", header, rows["ratio"]),
        Table("Mean expected calibration error by prevalence", header, rows["calibration_error"]),
    ]


def _prevalence(each: Mapping[str, Any]) -> str:
    """A class of prevalence in percent."""
    return f"{100 * each['above']:g} to {100 * each['to']:g} %"


def _country_section(path: UPath, figures: Mapping[str, Any]) -> list[Section]:
    """The table of countries for the first method; nothing where countries are not known."""
    found = pd.read_csv(io.StringIO(path.read_text()), keep_default_na=False, na_values=[""])
    if found.empty:
        return []
    found["country"] = found["country"].fillna("(none)")
    main = next(iter(figures["blocks"]["values"]["auc"]))
    columns = [name for name in map(str, found) if name.endswith(f": {main}")]
    header = ["country", "surveys", "species scored", *(name_of(name.removesuffix(f": {main}")) for name in columns)]
    rows = [
        [*row[:3], *("" if pd.isna(value) else format(value, ".3f") for value in row[3:])]
        for row in found[["country", "surveys", "species", *columns]].itertuples(index=False)
    ]
    least = figures["min_positives"]
    texts = [
        f"Scores among the surveys of each country, for species with at least {least} surveys with and {least} without"
        f" them there; blank where there are none or fewer than {least} surveys. All methods are in countries.csv."
    ]
    return [Section("Scores by country", texts, [Table(f"{main}, held-out blocks", header, rows)])]


def _coordinates_section(found: Mapping[str, Any]) -> Section:
    text = (
        "Images in held-out blocks with their own coordinates and with simulated errors, ranked by the cosine"
        " similarity of image and coordinates; a place outside the region of the pretraining is no match. ROC-AUC of"
        " errors against correct coordinates; 0.5 is chance."
    )
    header = ["scale", "error", "AUC", "outside the region", "median displacement (km)", "pairs"]
    rows = [
        [
            scale,
            error.replace("_", " "),
            shown(each["auc"]),
            shown(each["outside"], ".0%"),
            shown(each["shift_km"], ".1f"),
            each["pairs"],
        ]
        for scale, errors in found.items()
        for error, each in errors.items()
    ]
    return Section("Coordinate errors", [text], [Table("Detection of simulated coordinate errors", header, rows)])


def _score_tables(scores: Mapping[str, Any], within: Mapping[str, float | None]) -> list[Table]:
    values, differences = scores["values"], scores["differences"]
    header = ["method", *(f"macro {NAMES[metric]}" for metric in values)]
    rows = [[method, *(interval(values[metric][method]) for metric in values)] for method in values["auc"]]
    if within:
        header.append("AUC within countries")
        rows = [[*row, shown(within.get(row[0]))] for row in rows]
    tables = [Table("Scores [95 % interval]", header, rows)]
    pairs = [(each["first"], each["second"]) for each in differences["auc"]]
    if pairs:
        found = {metric: {(e["first"], e["second"]): e for e in each} for metric, each in differences.items()}
        rows = [[f"{a} minus {b}", *(interval(found[m][a, b], "+.4f") for m in found)] for a, b in pairs]
        header = ["methods", *(f"macro {NAMES[metric]}" for metric in found)]
        tables.append(Table("Paired differences [95 % interval]", header, rows))
    return tables
