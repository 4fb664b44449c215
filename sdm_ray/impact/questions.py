"""From units, outcomes and covariates to the study of each question; what cannot be used is named and counted."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.impact.config import ImpactConfig, QuestionConfig
from sdm_ray.impact.covariates import Design
from sdm_ray.impact.outcomes import Outcomes
from sdm_ray.impact.study import Periods, Study
from sdm_ray.impact.units import Units, holds

TREATED, CONTROL = "treated", "control"
NOT_ASKED = "treated, not in the question"
NO_COVARIATE, NO_OUTCOME = "covariate unknown", "outcome unknown"
TOO_EARLY, TOO_LATE = "treated before the first outcome", "treated after the last outcome"


@dataclass(frozen=True)
class Question:
    """One question that can be answered.

    Attributes:
        title: of its page.
        outcome: name.
        study: the units that can be used.
        index: their positions among all units, (N,).
        status: of every unit: `treated`, `control` or why it is not used.
    """

    title: str
    outcome: str
    study: Study
    index: NDArray[np.int64]
    status: NDArray[np.str_]


@dataclass(frozen=True)
class Material:
    """What all questions share.

    Attributes:
        units: parcels or points.
        treated: whether each was treated, (N,).
        date: year of the treatment, NaN for controls, (N,).
        outcomes: by unit and year.
        design: covariates.
    """

    units: Units
    treated: NDArray[np.bool_]
    date: NDArray[np.float64]
    outcomes: Outcomes
    design: Design


def questions(config: ImpactConfig, material: Material) -> list[Question]:
    """The studies, one for each question and outcome.

    Raises:
        InputError: a question names an outcome that is not there, or has no treated unit or no control left.
    """
    names = [name for name in material.outcomes.values if name not in config.placebos.outcomes]
    if unknown := [name for name in config.placebos.outcomes if name not in material.outcomes.values]:
        raise InputError(f"placebos.outcomes: no outcome {unknown[0]}; found {few(list(material.outcomes.values))}")
    asked = config.questions or {"": QuestionConfig()}
    found = []
    for title, question in asked.items():
        if question.outcome is not None and question.outcome not in material.outcomes.values:
            raise InputError(
                f"questions: {title!r} asks for {question.outcome}; found {few(list(material.outcomes.values))}"
            )
        for name in [question.outcome] if question.outcome is not None else names:
            single = question.outcome is not None or len(names) == 1
            full = title if title and single else f"{title}: {name}" if title else name
            found.append(_question(config, material, (full, name), question))
    return found


def of_outcome(question: Question, material: Material, outcome: str) -> Study:
    """The study of a question with another outcome."""
    draws = material.outcomes.draws.get(outcome)
    return replace(
        question.study,
        outcome=material.outcomes.values[outcome][question.index],
        draws=None if draws is None else draws[:, question.index],
    )


def _question(
    config: ImpactConfig, material: Material, named: tuple[str, str], asked: QuestionConfig
) -> Question:  # fmt: skip
    title, outcome = named
    years = material.outcomes.years
    # A survey of a year cannot tell the days of that year apart: both are taken as the year.
    date = np.floor(material.date) if (years == np.floor(years)).all() else material.date
    draws = material.outcomes.draws.get(outcome)
    periods = config.estimate
    full = Study(
        ids=material.units.ids,
        x=material.units.x,
        y=material.units.y,
        treated=material.treated,
        date=date,
        years=years,
        outcome=material.outcomes.values[outcome],
        covariates=material.design.values,
        names=material.design.names,
        exact=material.design.exact,
        periods=Periods(periods.before_years or np.inf, periods.after_years or np.inf, periods.transition_years),
        draws=draws,
    )
    if not full.treated.any():
        raise InputError(f"{config.units}: no unit is treated")
    status = _status(full, _is_asked(config, material, asked))
    _require_dates_inside(config, full, status)
    keep = np.isin(status, (TREATED, CONTROL))
    for kind in (TREATED, CONTROL):
        if not (status == kind).any():
            kinds, counts = np.unique(status, return_counts=True)
            left = ", ".join(f"{count} {name}" for name, count in zip(kinds, counts, strict=True))
            raise InputError(f"{config.units}: question {title!r} has no {kind} unit that can be used; found {left}")
    return Question(title, outcome, full.only(keep), np.flatnonzero(keep), status)


def _is_asked(config: ImpactConfig, material: Material, asked: QuestionConfig) -> NDArray[np.bool_]:
    """Whether each treated unit is one of the question's, (N,)."""
    found = material.treated & holds(material.units.table, asked.where, config.units)
    if asked.dates is not None:
        first, last = asked.dates
        with np.errstate(invalid="ignore"):
            found &= (np.floor(material.date) >= first) & (np.floor(material.date) <= last)
    return np.asarray(found)


def _status(study: Study, asked: NDArray[np.bool_]) -> NDArray[np.str_]:
    status = np.where(study.treated, TREATED, CONTROL).astype("<U40")
    changes = study.changes()
    own = np.where(study.treated, changes[study.row_of_date(), np.arange(len(study.ids))], 0)
    status[study.treated & ~np.isfinite(own)] = NO_OUTCOME
    status[~study.treated & ~np.isfinite(study.outcome).any(axis=1)] = NO_OUTCOME
    with np.errstate(invalid="ignore"):
        status[study.treated & (study.date <= study.years[0])] = TOO_EARLY
        status[study.treated & (study.date + study.periods.transition > study.years[-1])] = TOO_LATE
    status[~np.isfinite(study.covariates).all(axis=1) | (study.exact < 0)] = NO_COVARIATE
    status[study.treated & ~asked] = NOT_ASKED
    return status


def _require_dates_inside(config: ImpactConfig, study: Study, status: NDArray[np.str_]) -> None:
    asked = study.treated & (status != NOT_ASKED)
    outside = np.isin(status, (TOO_EARLY, TOO_LATE))
    if asked.any() and outside[asked].all():
        first = int(np.flatnonzero(asked & outside)[0])
        raise InputError(
            f"{config.units}: all {int(asked.sum())} treated units are dated outside the outcomes' years"
            f" {study.years[0]:g} to {study.years[-1]:g}, such as unit {study.ids[first]} in {study.date[first]:g}"
        )
