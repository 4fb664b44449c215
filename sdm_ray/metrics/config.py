"""Names and classes that metrics share; imports nothing heavy."""

from typing import Literal

PREVALENCE = (0.0, 0.001, 0.01, 0.1, 1.0)
"""Bounds of the classes of species by prevalence, the share of surveys with the species."""

SetRule = Literal["expected_size", "max_expected_f1", "threshold", "top_k"]
