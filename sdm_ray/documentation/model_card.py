"""The model card of a map: what it is, from what, how good, and where not to trust it.

Sections follow Mitchell et al. 2019, Model cards for model reporting (doi:10.1145/3287560.3287596).
"""

from collections.abc import Sequence

import pandas as pd

from sdm_ray.documentation import odmap_model, odmap_overview
from sdm_ray.documentation.facts import Facts
from sdm_ray.documentation.odmap import OPEN
from sdm_ray.errors import few
from sdm_ray.metrics.probability_kind import has_levels


def markdown(facts: Facts, odmap: pd.DataFrame) -> str:
    """The card as Markdown.

    Args:
        facts: of the map.
        odmap: its ODMAP table.
    """
    value = odmap.set_index("id")["Value"]
    parts = [
        f"# {facts.title}",
        "",
        *_section("What it is", [value["o_objective_2"], value["o_algorithms_1"], value["o_algorithms_2"]]),
        f"| | |\n|---|---|\n{_rows(facts)}",
        "",
        *_section("What it is for", _uses(facts)),
        *_section("Trained on", [value["d_bio_4"], value["d_part_1"], value["d_pred_1"], value["d_pred_2"]]),
        *_section("How good it is", _scores(facts)),
        *_section("Where to be careful", _cautions(facts)),
        *_section("Sources and licences of the inputs", facts.record.sources),
        *_section("How it was made", [f"{name}: `{print_}`" for name, print_ in sorted(facts.record.inputs.items())]),
        f"Map `{facts.record.fingerprint}`, {value['o_software_1']}. Configurations: `artefact.json` of each artefact.",
        "",
        f"ODMAP: {(odmap['filled_by'] != OPEN).sum()} of {len(odmap)} elements filled, see `odmap.csv`.",
    ]
    return "\n".join(parts) + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    said = [f"- {line}" for line in lines if line]
    return [f"## {title}", "", *(said or ["- not recorded"]), ""]


def _rows(facts: Facts) -> str:
    grid, figures = facts.map.grid, facts.record.figures
    cells = {
        "species": str(len(facts.species)),
        "probability kind": facts.map.probability_kind,
        "cells": f"{figures.get('cells', '?')} of {grid.resolution:g} m (EPSG:3035)",
        "effective resolution": f"{facts.map.attrs.get('effective_resolution_m', '?')} m",
        "pretraining": str(facts.map.attrs.get("pretraining", "?")),
        "quality layers": ", ".join(facts.layers) or "none",
    }
    return "\n".join(f"| {name} | {value} |" for name, value in cells.items())


def _uses(facts: Facts) -> list[str]:
    where = few(facts.countries) if facts.countries else "the area of the map"
    if not has_levels(facts.map.probability_kind):
        return [
            f"comparing places for one species within {where}, by rank",
            "not for: numbers of species, areas, or comparing species with each other (suitabilities are relative)",
        ]
    return [
        f"probabilities of species and sums of them (richness, areas) within {where}",
        "not for: change over time, where the inputs do not change; places finer than the effective resolution",
    ]


def _scores(facts: Facts) -> list[str]:
    none = "not scored on held-out blocks here: run `sdm-ray evaluate`, then `sdm-ray document` with its artefact"
    held_out = odmap_model.scores(facts) or none
    return [each for each in (held_out, odmap_model.validation(facts), odmap_model.importance(facts)) if each]


def _cautions(facts: Facts) -> list[str]:
    figures, cells = facts.record.figures, facts.record.figures.get("cells") or 0
    found = [facts.no_data]
    for name, text in (
        ("without_survey_in_country", "in a country without any survey"),
        ("outside_applicability", "outside the model's area of applicability"),
    ):
        if cells and figures.get(name):
            found.append(f"{figures[name] / cells:.0%} of the cells lie {text}")
    model = facts.model
    if cells and model is not None and model.config.covariates:
        found.append(f"{1 - figures.get('with_covariates', 0) / cells:.0%} of the cells have no covariates")
    if cells and model is not None and model.satellite is not None:
        found.append(f"{1 - figures.get('with_satellite', 0) / cells:.0%} of the cells have no satellite imagery")
    if facts.map.attrs.get("crossfitted"):
        found.append("each cell comes from a fold model that never saw its block: made to be scored, not to be used")
    if facts.map.attrs.get("pretraining") == "transductive":
        found.append("pretraining saw images of the blocks that scores come from (transductive)")
    assumptions = odmap_overview.answers(facts)["o_assumptions_1"]
    return [*found, f"assumed: {assumptions}"]
