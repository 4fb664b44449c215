"""What `evaluate` leaves to be looked at: tables, pictures and the sections of its page."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.evaluation.scores import Held
from sdm_ray.metrics.block_bootstrap import Comparison, Interval
from sdm_ray.metrics.calibration import PRESENCE_CUTS, cuts
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.plots import charts
from sdm_ray.plots import maps as map_plots
from sdm_ray.plots.html import Picture, Section, Table

_METRIC = {"auc": "AUC", "average_precision": "average precision"}
_WAYS = {
    "blocks": "Held-out blocks",
    "folds": "Held-out blocks, fold by fold",
    "countries": "Whole countries left out",
}
_SHOWN_INPUTS, _SHOWN_RESPONSES = 20, 6
_CAPTIONS = {
    "differences.png": "Paired differences on the same resamples of blocks, with 95 % intervals",
    "species.png": "AUC of each species on held-out blocks",
    "reliability.png": "Reliability: what was predicted, and what share was present",
    "importance.png": "What the model goes by: fall of the macro AUC where an input is exchanged between surveys",
    "responses.png": "Responses: mean probability where one covariate is set to a value, over the fold models",
    "errors.png": "Where it fails: mean of predicted minus observed richness in each block",
    "f1.png": "Where it fails: mean F1 of the surveys' sets of species in each block",
}


def species_table(
    held: Held, scores: Mapping[str, Mapping[str, np.ndarray]], truth: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """One row a species: surveys with it, and each score by method."""
    columns: dict[str, Any] = {"species": held.species, "surveys": np.count_nonzero(held.labels, axis=0)}
    for metric, methods in scores.items():
        columns |= {f"{metric}: {method}": values for method, values in methods.items()}
    columns |= {f"spearman with truth: {label}": values for label, values in truth.items()}
    return pd.DataFrame(columns)


def cut_table(held: Held, probabilities: np.ndarray) -> pd.DataFrame:
    """One row a species: its thresholds by name, chosen on all held-out surveys, and how many surveys lie above."""
    columns: dict[str, Any] = {"species": held.species, "surveys": np.count_nonzero(held.labels, axis=0)}
    for name, values in cuts(held.labels, probabilities).items():
        if has_levels(held.probability_kind) or name in PRESENCE_CUTS:
            columns[name] = values
            columns[f"surveys above {name}"] = np.count_nonzero(probabilities >= values, axis=0)
    return pd.DataFrame(columns)


def write_pictures(
    folder: UPath,
    held: Held,
    predictions: Mapping[str, np.ndarray],
    comparison: Comparison,
    blocks: pd.DataFrame | None,
    size_m: float,
) -> list[UPath]:
    """The pictures of an evaluation; the first method is the one that is shown alone.

    Args:
        folder: where to.
        held: the surveys.
        predictions: method -> (N, S).
        comparison: their scores.
        blocks: what `regions.by_block` found for the first method; None of `relative` probabilities.
        size_m: side of a block.
    """
    main = next(iter(predictions))
    made: dict[str, bytes] = {}
    pairs = comparison.differences["auc"].items()
    rows = {f"{a} minus {b}": (each.value, each.low, each.high) for (a, b), each in pairs if a == main}
    if rows:
        title = "Paired differences on held-out blocks, 95 % interval"
        made["differences.png"] = charts.intervals(rows, title, "difference of macro AUC")
    made["species.png"] = charts.bars(
        comparison.species["auc"], held.species, "AUC per species on held-out blocks", "AUC"
    )
    if has_levels(held.probability_kind):
        title = "Reliability on held-out blocks"
        made["reliability.png"] = charts.reliability(predictions, held.labels, title)
    if blocks is not None:
        made |= _failures(main, blocks, size_m)
    for name, png in made.items():
        (folder / name).write_bytes(png)
    return [folder / name for name in made]


def _failures(main: str, blocks: pd.DataFrame, size_m: float) -> dict[str, bytes]:
    """Maps of where a method fails."""
    corners = blocks["west_m"].to_numpy(), blocks["south_m"].to_numpy()
    title = f"Where {main} fails: predicted minus observed richness"
    unit = "mean error (species per survey)"
    richness = blocks["richness_error"].to_numpy()
    made = {"errors.png": map_plots.block_picture(*corners, richness, size_m, title, unit, signed=True)}
    if scores := [name for name in blocks if str(name).startswith("f1")]:
        title, unit = f"Where {main} fails: {scores[0]}", "mean F1 of a survey's set of species"
        f1 = blocks[scores[0]].to_numpy()
        made["f1.png"] = map_plots.block_picture(*corners, f1, size_m, title, unit)
    return made


def write_explained(folder: UPath, held: Held, drops: Mapping[str, Interval], curves: pd.DataFrame) -> None:
    """Pictures of the importance of a model's inputs, and of the responses of the most frequent species."""
    rows = {name: (each.value, each.low, each.high) for name, each in list(drops.items())[:_SHOWN_INPUTS]}
    title = "Importance: fall of the macro AUC where an input is exchanged"
    (folder / "importance.png").write_bytes(charts.intervals(rows, title, "fall of macro AUC on held-out blocks"))
    if len(curves):
        frequent = [held.species[i] for i in np.argsort(-held.labels.sum(axis=0, dtype=int))[:_SHOWN_RESPONSES]]
        covariates = [name for name in drops if name in set(curves["covariate"])][:_SHOWN_RESPONSES]
        covariates = covariates or curves["covariate"].unique()[:_SHOWN_RESPONSES].tolist()
        (folder / "responses.png").write_bytes(charts.responses(curves, covariates, frequent))


def sections(folder: UPath, figures: Mapping[str, Any]) -> list[Section]:
    """The sections of an evaluation's page, from its `metrics.json` and its pictures."""
    made = []
    for way, title in _WAYS.items():
        if way not in figures:
            continue
        scores = figures[way]
        texts = [
            f"{scores['surveys']} surveys, probabilities of kind '{figures['probability_kind']}'. Means over"
            f" {scores['species_counted']} species; {scores['species_left_out']} left out with fewer than"
            f" {figures['min_positives']} positives. 95 % intervals from {figures['resamples']} resamples of"
            f" {scores['resampled']} {'countries' if way == 'countries' else 'blocks'}, the same for every method."
        ]
        if way == "folds":
            texts.append(
                "Means over the folds' own scores, as cross-validation is mostly told: how well each fold's model ranks"
                " places. The scores above are of all folds together, so that its levels must agree with the others'."
            )
        if way == "countries":
            texts.append(
                "Nothing of a scored country was learned from: a method must carry what it knows across a border,"
                " where inventories differ as well. Expect less than on held-out blocks, for every method."
            )
        within = figures.get("within", {}).get(way, {})
        if within:
            texts.append("AUC within countries gives nothing for telling countries apart, so it is lower.")
        made.append(Section(title, texts, _score_tables(scores, within)))
    if made:
        names = [name for name in _CAPTIONS if (folder / name).exists()]
        made[0].pictures.extend(Picture(_CAPTIONS[name], (folder / name).read_bytes()) for name in names)
    if "species_means" in figures:
        made.append(_probability_section(figures))
    if (folder / "countries.csv").exists():
        made += _country_section(folder / "countries.csv", figures)
    if "truth" in figures:
        header = ["map", "mean rank correlation with the truth", "cells without surveys"]
        rows = [[label, _shown(each["spearman"]), each["cells"]] for label, each in figures["truth"].items()]
        made.append(Section("Against the truth", tables=[Table("Mean over species", header, rows)]))
    if "coordinates" in figures:
        made.append(_coordinates_section(figures["coordinates"]))
    return made


def _probability_section(figures: Mapping[str, Any]) -> Section:
    """Scores of probabilities and sets, and what becomes of rare species."""
    texts = [
        "Thresholds and sizes of sets are chosen for each fold on the held-out surveys of the others. Of Brier score"
        " and calibration error less is better."
    ]
    methods = list(next(iter(figures["species_means"].values())))
    rows = [[score, *(_interval(each[m]) for m in methods)] for score, each in figures.get("surveys", {}).items()]
    tables = [Table("Means over surveys (95 % interval)", ["", *methods], rows)] if rows else []
    rows = [[score, *(_shown(each[m]) for m in methods)] for score, each in figures["species_means"].items()]
    tables.append(Table("Over species", ["", *methods], rows))
    rows = [
        [f"{each['above']:.1%} to {each['to']:.1%}", each["species"], *(_shown(value) for value in values.values())]
        for each in figures["prevalence"]
        for values in [each["values"]["auc"]]
    ]
    tables.append(Table("AUC by prevalence", ["share of the surveys", "species", *methods], rows))
    tables += _calibration_tables(figures.get("calibration_by_prevalence", []))
    return Section("Probabilities and sets of species", texts, tables)


def _calibration_tables(classes: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Whether probabilities have the right level, by class of prevalence; none of `relative` probabilities."""
    if not classes:
        return []
    methods = list(classes[0]["predicted"])
    rows: dict[str, list[list[object]]] = {"ratio": [], "calibration_error": []}
    for each in classes:
        first = [f"{each['above']:.1%} to {each['to']:.1%}", each["species"], _shown(each["observed"], ".5f")]
        for name, form in (("ratio", ".2f"), ("calibration_error", ".5f")):
            rows[name].append([*first, *(_shown(each[name][method], form) for method in methods)])
    header = ["prevalence", "species", "observed prevalence", *methods]
    return [
        Table("Mean predicted probability divided by observed prevalence (1 is calibrated)", header, rows["ratio"]),
        Table("Mean expected calibration error by prevalence", header, rows["calibration_error"]),
    ]


def _country_section(path: UPath, figures: Mapping[str, Any]) -> list[Section]:
    """The table of countries for the first method; nothing where no survey says its country."""
    found = pd.read_csv(io.StringIO(path.read_text()), keep_default_na=False, na_values=[""])
    if found.empty:
        return []
    found["country"] = found["country"].fillna("(none)")
    main = next(iter(figures["blocks"]["values"]["auc"]))
    columns = [name for name in map(str, found) if name.endswith(f": {main}")]
    header = ["country", "surveys", "species that count", *(name.removesuffix(f": {main}") for name in columns)]
    rows = [
        [*row[:3], *("" if pd.isna(value) else format(value, ".3f") for value in row[3:])]
        for row in found[["country", "surveys", "species", *columns]].itertuples(index=False)
    ]
    texts = [
        f"Scores inside each country; blank with fewer than {figures['min_positives']} surveys, or without a species"
        " that has so many surveys with and without it there. Every method is in countries.csv."
    ]
    return [Section("By country", texts, [Table(f"{main}, held-out blocks", header, rows)])]


def _coordinates_section(found: Mapping[str, Any]) -> Section:
    text = (
        "Images of held-out blocks with their own coordinates and with planted faults, told apart by the cosine of"
        " image and place: ROC-AUC, 0.5 is chance."
    )
    header = ["scale", "fault", "AUC", "median shift (km)", "pairs"]
    rows = [
        [scale, fault.replace("_", " "), _shown(each["auc"]), _shown(each["shift_km"], ".1f"), each["pairs"]]
        for scale, faults in found.items()
        for fault, each in faults.items()
    ]
    return Section("Wrong coordinates", [text], [Table("How well planted faults are told", header, rows)])


def headline(figures: Mapping[str, Any]) -> str:
    """One line that says the main figures."""
    parts = []
    for way, name in (("blocks", "held-out blocks"), ("countries", "countries left out")):
        if way in figures:
            values = figures[way]["values"]["auc"]
            shown = ", ".join(f"{method} {_shown(each['value'])}" for method, each in values.items())
            parts.append(f"AUC on {name}: {shown}")
    for label, each in figures.get("truth", {}).items():
        parts.append(f"rank correlation of {label} with the truth {_shown(each['spearman'])}")
    for scale, faults in figures.get("coordinates", {}).items():
        mean = sum(each["auc"] for each in faults.values()) / len(faults)
        parts.append(f"wrong coordinates told by {scale} images: AUC {_shown(mean, '.2f')}")
    return "; ".join(parts)


def flat(figures: Mapping[str, Any]) -> dict[str, float]:
    """The main figures by one name each, for the artefact's record and MLflow."""
    found: dict[str, float | None] = {}
    for way in _WAYS:
        for metric, methods in figures.get(way, {}).get("values", {}).items():
            found |= {f"{way}/{metric}/{_key(method)}": each["value"] for method, each in methods.items()}
    for method, value in figures.get("within", {}).get("blocks", {}).items():
        found[f"within_countries/auc/{_key(method)}"] = value
    for label, each in figures.get("truth", {}).items():
        found[f"truth/spearman/{_key(label)}"] = each["spearman"]
    for name, each in figures.get("importance", {}).items():
        found[f"importance/{_key(name)}"] = each["value"]
    for score, methods in figures.get("species_means", {}).items():
        found |= {f"species/{_key(score)}/{_key(method)}": value for method, value in methods.items()}
    for score, methods in figures.get("surveys", {}).items():
        found |= {f"surveys/{_key(score)}/{_key(method)}": each["value"] for method, each in methods.items()}
    for scale, faults in figures.get("coordinates", {}).items():
        found |= {f"coordinates/{scale}/{fault}": each["auc"] for fault, each in faults.items()}
    return {name: value for name, value in found.items() if value is not None}


def _key(method: str) -> str:
    """A method's name as MLflow takes it in the name of a figure."""
    return method.replace(", ", "_").replace(" ", "_")


def _score_tables(scores: Mapping[str, Any], within: Mapping[str, float | None]) -> list[Table]:
    values, differences = scores["values"], scores["differences"]
    header = ["method", *(f"macro {_METRIC[metric]}" for metric in values)]
    rows = [[method, *(_interval(values[metric][method]) for metric in values)] for method in values["auc"]]
    if within:
        header.append("AUC within countries")
        rows = [[*row, _shown(within.get(row[0]))] for row in rows]
    tables = [Table("Scores (95 % interval)", header, rows)]
    pairs = [(each["first"], each["second"]) for each in differences["auc"]]
    if pairs:
        found = {metric: {(e["first"], e["second"]): e for e in each} for metric, each in differences.items()}
        rows = [[f"{a} minus {b}", *(_interval(found[m][a, b], "+.4f") for m in found)] for a, b in pairs]
        header = ["pair", *(_METRIC[metric] for metric in found)]
        tables.append(Table("Paired differences (95 % interval)", header, rows))
    return tables


def _interval(each: Mapping[str, float | None], form: str = ".3f") -> str:
    return f"{_shown(each['value'], form)} ({_shown(each['low'], form)} to {_shown(each['high'], form)})"


def _shown(value: float | None, form: str = ".3f") -> str:
    return "not defined" if value is None else format(value, form)
