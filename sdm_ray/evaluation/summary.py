"""The main figures of an evaluation: one line, and one number by name."""

from collections.abc import Mapping
from typing import Any

from sdm_ray.evaluation.formatting import metric_key, shown

_HEADLINE = {"blocks": "held-out blocks", "countries": "countries left out"}


def headline(figures: Mapping[str, Any]) -> str:
    """The main figures in one line."""
    parts = []
    for scheme, name in _HEADLINE.items():
        if scheme in figures:
            values = figures[scheme]["values"]["auc"]
            scores = ", ".join(f"{method} {shown(each['value'])}" for method, each in values.items())
            parts.append(f"AUC on {name}: {scores}")
    for label, each in figures.get("truth", {}).items():
        parts.append(f"rank correlation of {label} with the truth {shown(each['spearman'])}")
    for scale, errors in figures.get("coordinates", {}).items():
        mean = sum(each["auc"] for each in errors.values()) / len(errors)
        parts.append(f"detection of coordinate errors by {scale} images: AUC {shown(mean, '.2f')}")
    return "; ".join(parts)


def flat(figures: Mapping[str, Any]) -> dict[str, float]:
    """The main figures by name, for the artefact's record and MLflow."""
    found: dict[str, float | None] = {}
    for scheme in ("blocks", "folds", "countries"):
        for metric, methods in figures.get(scheme, {}).get("values", {}).items():
            found |= {f"{scheme}/{metric}/{metric_key(method)}": each["value"] for method, each in methods.items()}
    for method, value in figures.get("within", {}).get("blocks", {}).items():
        found[f"within_countries/auc/{metric_key(method)}"] = value
    for label, each in figures.get("truth", {}).items():
        found[f"truth/spearman/{metric_key(label)}"] = each["spearman"]
    for name, each in figures.get("importance", {}).items():
        found[f"importance/{metric_key(name)}"] = each["value"]
    for score, methods in figures.get("species_means", {}).items():
        found |= {f"species/{metric_key(score)}/{metric_key(method)}": value for method, value in methods.items()}
    for score, methods in figures.get("surveys", {}).items():
        found |= {f"surveys/{metric_key(score)}/{metric_key(m)}": each["value"] for m, each in methods.items()}
    for scale, errors in figures.get("coordinates", {}).items():
        found |= {f"coordinates/{scale}/{error}": each["auc"] for error, each in errors.items()}
    return {name: value for name, value in found.items() if value is not None}
