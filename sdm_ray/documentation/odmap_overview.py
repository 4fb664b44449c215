"""Answers to the section Overview of ODMAP."""

from sdm_ray.documentation.facts import Facts
from sdm_ray.errors import few

KINDS = {
    "occurrence": ("field surveys of whole species lists", "presence/absence"),
    "recorded": ("records of an inventory, by cell", "presence/absence of a record in a cell"),
    "relative": ("records of single species", "presence-only"),
}
TARGETS = {
    "occurrence": "probability that a species occurs in a cell",
    "recorded": "probability that the inventory has recorded a species in a cell",
    "relative": "relative habitat suitability",
}


def answers(facts: Facts) -> dict[str, str | None]:
    """Identifier of an element -> what is known of it; None where the author has to say it."""
    record, kind, resolution = facts.record, facts.map.probability_kind, facts.map.grid.resolution
    west, south, east, north = facts.lonlat
    species, years = facts.species, facts.surveys.years if facts.surveys else None
    observed, response = KINDS.get(kind, (None, kind))
    return {
        "o_title_1": facts.title,
        "o_objective_1": "Mapping and interpolation",
        "o_objective_2": f"{TARGETS.get(kind, kind)}, continuous, 0 to 1",
        "o_taxon_1": f"{len(species)} species: {few(species, 8)}",
        "o_location_1": f"{few(facts.countries, 12)} (as far as they lie in the map's extent)" if facts.countries else
        f"longitude {west:.2f} to {east:.2f}, latitude {south:.2f} to {north:.2f}",
        "o_scale_1": f"{west:.4f}, {east:.4f}, {south:.4f}, {north:.4f} (xmin, xmax, ymin, ymax; WGS84 degrees)",
        "o_scale_2": f"{resolution:g} m (EPSG:3035); inputs carry detail down to {_effective(facts)}",
        "o_scale_3": f"surveys of {years[0]} to {years[1]}" if years else None,
        "o_scale_4": "one period: surveys of all years are pooled",
        "o_scale_5": _boundary(facts),
        "o_bio_1": observed,
        "o_bio_2": response,
        "o_predictors_1": "; ".join(predictor_types(facts)) or None,
        "o_assumptions_1": _assumptions(facts),
        "o_algorithms_1": techniques(facts),
        "o_algorithms_2": ensemble(facts),
        "o_workflow_1": _workflow(facts),
        "o_software_1": ", ".join(f"{name} {version}" for name, version in record.tools.items()) or None,
        "o_software_2": _code(facts),
        "o_software_3": "; ".join(record.sources) or None,
    }  # fmt: skip


def predictor_types(facts: Facts) -> list[str]:
    """The inputs of the model by type."""
    model = facts.model
    if model is None:
        return []
    found = ["coordinates (a location encoder)"] if model.config.location is not None else []
    found += [f"{len(model.config.covariates)} covariates"] if model.config.covariates else []
    found += ["satellite imagery"] if model.satellite is not None else []
    found += [f"images ({scale})" for scale in model.photos]
    return found + (["time series"] if model.config.series is not None else [])


def techniques(facts: Facts) -> str | None:
    """The learning methods of the model."""
    if facts.model is None:
        return None
    if facts.training.get("probe") is not None:
        return "logistic regression of each species on frozen features"
    network = "one neural network for all species, linear in its last layer"
    return f"{network}; random forest" if facts.model.forest else network


def ensemble(facts: Facts) -> str | None:
    """How several models are one."""
    if facts.model is None:
        return None
    if not facts.model.forest:
        return "none: the map is of a single model"
    forest = facts.training.get("forest") or {}
    share = forest.get("ensemble_weight", forest.get("vote"))
    return f"weighted mean of the logits of network and forest; weight of the forest {share if share else 'fitted'}"


def _effective(facts: Facts) -> str:
    found = facts.map.attrs.get("effective_resolution_m")
    return f"{found:g} m" if isinstance(found, int | float) else "an unknown resolution"


def _boundary(facts: Facts) -> str:
    config = facts.record.config
    if config.get("within"):
        return f"polygons of {str(config['within']).rpartition('/')[2]}"
    if config.get("countries"):
        return "political (countries)"
    return "natural (land mask)" if config.get("land") else "rectangle"


def _assumptions(facts: Facts) -> str:
    kind = facts.map.probability_kind
    detection = {
        "occurrence": "a species that a survey does not list was absent; detection is taken as perfect",
        "recorded": "records follow the inventory's effort; a cell without a record may hold the species",
        "relative": "records of one species are biased as those of all species are (target group)",
    }.get(kind, "")
    common = "species are in equilibrium with the environment; relations hold over the whole map"
    return "; ".join(each for each in (common, detection) if each)


def _workflow(facts: Facts) -> str | None:
    if facts.model is None:
        return None
    steps = ["surveys and covariates are brought onto one grid and checked (prepare)"]
    steps += ["an encoder is pretrained on images (pretrain)"] if facts.model.pretraining != "none" else []
    folds = f"{facts.model.folds} fold models and one of all surveys" if facts.model.folds else "one model"
    steps += [f"{folds}, each calibrated on blocks of its own (finetune)"]
    steps += ["cross-fitted maps are scored on held-out blocks (evaluate)"] if facts.evaluation else []
    return "; ".join([*steps, "every cell is predicted, with quality layers (map)"])


def _code(facts: Facts) -> str:
    version = facts.record.tools.get("sdm-ray", "")
    return f"sdm-ray {version} (Apache-2.0); the configuration of every step is in the artefact.json of its artefact"
