"""A map's quality layers: the inputs of each cell, its distance to surveys, and sums of unrounded probabilities."""

from sdm_ray.mapping.aoa import Applicability
from sdm_ray.stores.maps import Layer

LOCATION, COVARIATES, SATELLITE = 1, 2, 4
"""Bits of the layer `inputs`."""
SEA = 255
"""In the layers `surveyed_country`, `inside_aoa` and `novel`: sea, or not known."""
_NAN = float("nan")

LAYERS = {
    "richness": Layer("float32", _NAN, {"long_name": "expected number of species (sum of probabilities)"}),
    "richness_variance": Layer(
        "float32", _NAN, {"long_name": "variance of the number of species given the probabilities, sum of p (1 - p)"}
    ),
    "inputs": Layer(
        "uint8",
        0,
        {
            "long_name": "inputs that a cell was predicted from",
            "flag_masks": [LOCATION, COVARIATES, SATELLITE],
            "flag_meanings": "location covariates satellite",
        },
    ),
    "surveyed_country": Layer(
        "uint8",
        SEA,
        {
            "long_name": "whether the cell's country has a survey",
            "flag_values": [0, 1],
            "flag_meanings": "country_without_survey country_with_survey",
        },
        static=True,
    ),
    "survey_distance": Layer(
        "float32", _NAN, {"long_name": "distance to the nearest surveyed cell", "units": "m"}, static=True
    ),
}
"""Layers of every map."""

SIMILARITY = {
    "environmental_similarity": Layer(
        "float32",
        _NAN,
        {
            "long_name": "multivariate environmental similarity surface (MESS) to the surveys; negative where a"
            " covariate lies outside their range",
            "units": "percent",
        },
    ),
}
"""Layers of a map from covariates whose surveys are given."""

NOVELTY = {
    "novel": Layer(
        "uint8",
        SEA,
        {
            "long_name": "whether a covariate lies outside the range of the surveys (environmental_similarity below 0)",
            "flag_values": [0, 1],
            "flag_meanings": "within_range outside_range",
        },
    ),
}
"""Layers of a map of scenarios from covariates whose surveys are given."""

SCENES = {
    "valid_scenes": Layer("uint8", 0, {"long_name": "number of valid satellite scenes at the centre of the cell"})
}
"""Layers of a map from a tile cube."""

SPREAD = {
    "richness_spread": Layer(
        "float32", _NAN, {"long_name": "standard deviation of expected richness among the fold models"}
    ),
    "probability_spread": Layer(
        "float32",
        _NAN,
        {"long_name": "standard deviation of a probability among the fold models, mean over species"},
    ),
}
"""Layers of a map with `spread: true`."""


def applicability_layers(found: Applicability) -> dict[str, Layer]:
    """Layers of a map with `applicability`."""
    about = {
        "threshold": round(found.threshold, 6),
        "surveys_searched": len(found.points),
        "exact": int(found.exact),
        "references": "Meyer and Pebesma 2021, Methods in Ecology and Evolution 12:1620",
    }
    di = {"long_name": "dissimilarity index of covariates to those of the surveys", "units": "1"}
    inside = {
        "long_name": "whether the cell lies in the area of applicability (dissimilarity at most the threshold)",
        "flag_values": [0, 1],
        "flag_meanings": "outside inside",
    }
    return {"di": Layer("float32", _NAN, di | about), "inside_aoa": Layer("uint8", SEA, inside | about)}
