"""Names and classes that metrics share. Light: no numerics are imported here."""

from typing import Literal

PREVALENCE = (0.0, 0.001, 0.01, 0.1, 1.0)
"""Bounds of the classes of species by the share of surveys that hold them."""


SetRule = Literal["expected_size", "max_expected_f1", "threshold", "top_k"]
