"""The ODMAP table of a map (Zurell et al. 2020, Ecography 43:1261): each of its 84 elements answered or left open.

Identifiers and elements are those of the protocol's own application (github.com/UP-macroecology/ODMAP), without its
conditions of which apply to which objective. What the run knows is filled in; the rest is the author's.
"""

import csv
from collections.abc import Mapping
from importlib.resources import files

import pandas as pd

from sdm_ray.documentation import odmap_data, odmap_model, odmap_overview
from sdm_ray.documentation.facts import Facts

RUN, AUTHOR, OPEN = "run", "author", "author's to fill"


def elements() -> pd.DataFrame:
    """The 84 elements: `id, section, subsection, element`."""
    text = (files("sdm_ray.documentation") / "odmap_elements.csv").read_text()
    return pd.DataFrame(list(csv.DictReader(text.splitlines())))


def table(facts: Facts, answers: Mapping[str, str] | None = None) -> pd.DataFrame:
    """One row for each element.

    Args:
        facts: of the map.
        answers: the author's texts by identifier; they come before what the run knows.

    Returns:
        Columns `section, subsection, element, Value, filled_by, id`; `filled_by` is `run`, `author` or, where `Value`
        is blank, `author's to fill`.
    """
    found = {**odmap_overview.answers(facts), **odmap_data.answers(facts), **odmap_model.answers(facts)}
    said = answers or {}
    rows = elements()
    rows["Value"] = [said.get(name) or found.get(name) or "" for name in rows["id"]]
    rows["filled_by"] = [AUTHOR if said.get(name) else RUN if found.get(name) else OPEN for name in rows["id"]]
    return rows[["section", "subsection", "element", "Value", "filled_by", "id"]]
