"""How scores are named and numbers are written on pages."""

from collections.abc import Mapping

NOT_DEFINED = "not defined"
NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "boyce": "Boyce index",
    "tss": "TSS",
    "brier": "Brier score",
    "calibration_error": "expected calibration error",
    "accuracy": "accuracy",
}
RULES = {
    "expected_size": ("expected size", "as many of the likeliest species as the probabilities sum up to"),
    "max_expected_f1": ("maximum expected F1", "the set with the highest expected F1"),
    "threshold": ("threshold", "all species above one threshold"),
    "top_k": ("top k", "a fixed number of the likeliest species"),
}
"""Rule for the set of species of a survey -> its name and its definition."""
KINDS = {
    "occurrence": "probabilities of occurrence in a survey",
    "recorded": "probabilities of a record in a cell of an inventory",
    "relative": "relative suitabilities, which only rank places",
}
"""Probability kind -> its definition."""


def name_of(score: str) -> str:
    """The name of a score: "TSS" for `tss`, "F1 (top k)" for `f1, top_k`."""
    first, _, rule = score.partition(", ")
    first = NAMES.get(first, first.replace("f1", "F1").replace("@", " at "))
    return f"{first} ({RULES[rule][0] if rule in RULES else rule})" if rule else first


def shown(value: float | None, form: str = ".3f") -> str:
    """A number of a metrics.json."""
    return NOT_DEFINED if value is None else format(value, form)


def interval(each: Mapping[str, float | None], form: str = ".3f") -> str:
    """A value with its 95 % interval, of a metrics.json."""
    if each["value"] is None:
        return NOT_DEFINED
    return f"{shown(each['value'], form)} [{shown(each['low'], form)}, {shown(each['high'], form)}]"


def metric_key(method: str) -> str:
    """A method's name as MLflow accepts it in the name of a metric."""
    return method.replace(", ", "_").replace(" ", "_")
