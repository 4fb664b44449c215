"""The answer to one question: matching, balance, effect, checks, and what a reader must be told with it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sdm_ray.errors import InputError
from sdm_ray.impact.balance import UNBALANCED, balance
from sdm_ray.impact.config import ImpactConfig
from sdm_ray.impact.estimate import Effect, Estimator, baci
from sdm_ray.impact.event_study import EventStudy, event_study
from sdm_ray.impact.matching import Matches, match
from sdm_ray.impact.naive import Naive, naive_estimates
from sdm_ray.impact.placebo import FAKE_DATE, NEIGHBOURS, Placebos, placebos
from sdm_ray.impact.questions import Material, Question, of_outcome
from sdm_ray.impact.sensitivity import Sensitivity, sensitivity

_FEW_BLOCKS = 15
_UNMATCHED = 0.1  # share of treated units
_FLAGGED = 0.1  # share of placebos
_WEAK_GAMMA = 1.5
_POWER = 2.8  # standard errors: 1.96 for the 5 % level and 0.84 for a power of 80 %


@dataclass(frozen=True)
class Answer:
    """All figures of one question.

    Attributes:
        question: with its study.
        matches: controls of treated units.
        effect: the estimate.
        plain: the same without the regression of what is left of differences in covariates.
        by_block: side of the blocks, metres -> the effect with the interval that they give.
        sampling: the effect with an interval that leaves out the outcome's own error; None where it has none.
        naive: estimates without matching.
        balance: of covariates.
        events: by years since treatment; None with two years.
        placebos: tests where there is nothing to be found.
        placebo_outcomes: outcome on which there can be no effect -> the effect found.
        sensitivity: to hidden bias.
        caveats: sentences that a reader must be told.
        block_m: side of the resampled blocks, metres.
        truth: mean true change of the matched treated units less that of their controls; None where it is not known.
    """

    question: Question
    matches: Matches
    effect: Effect
    plain: Effect
    by_block: dict[float, Effect]
    sampling: Effect | None
    naive: dict[str, Naive]
    balance: pd.DataFrame
    events: EventStudy | None
    placebos: Placebos
    placebo_outcomes: dict[str, Effect]
    sensitivity: Sensitivity
    caveats: list[str]
    block_m: float
    truth: float | None = None

    @property
    def detectable(self) -> float:
        """Smallest effect that would be found with a power of 80 %."""
        return _POWER * self.effect.error


def answer(question: Question, material: Material, config: ImpactConfig) -> Answer:
    """Answer a question.

    Raises:
        InputError: no treated unit has a control within the calipers.
    """
    study = question.study
    matches = match(study, config.matching)
    try:
        estimator = Estimator(study, matches, config.estimate, config.seed)
    except InputError as error:
        raise InputError(f"question {question.title!r}: {error}") from None
    effect, changes = baci(study, estimator), study.changes()
    plain = Estimator(study, matches, config.estimate.model_copy(update={"adjust": False}), config.seed)
    sides = [estimator.block_m * factor for factor in (0.5, 2.0)]
    resized = {side: config.estimate.model_copy(update={"block_m": side}) for side in sides}
    spread = float(np.nanstd(changes[study.row_of_date()[matches.treated], matches.control]))
    found = Answer(
        question=question,
        matches=matches,
        effect=effect,
        plain=baci(study, plain),
        by_block={side: baci(study, Estimator(study, matches, each, config.seed)) for side, each in resized.items()},
        sampling=None if study.draws is None else estimator.effect(changes),
        naive=naive_estimates(study, config.estimate, estimator.block_m, config.seed),
        balance=balance(study, matches),
        events=event_study(study, estimator),
        placebos=placebos(study, estimator, config),
        placebo_outcomes={name: _other(question, material, config, name) for name in config.placebos.outcomes},
        sensitivity=sensitivity(estimator.differences(changes), effect.value, (effect.low, effect.high), spread),
        caveats=[],
        block_m=estimator.block_m,
        truth=_truth(question, material, matches),
    )
    found.caveats.extend(_caveats(found, material, config, adjusted=estimator.adjusts))
    return found


def _truth(question: Question, material: Material, matches: Matches) -> float | None:
    values = material.outcomes.truth.get(question.outcome)
    if values is None:
        return None
    study = replace(question.study, outcome=values[question.index], draws=None)
    changes, row = study.changes(), study.row_of_date()[matches.treated]
    differences = changes[row, matches.treated] - changes[row, matches.control]
    return float(np.average(differences, weights=matches.weight))


def _other(question: Question, material: Material, config: ImpactConfig, outcome: str) -> Effect:
    study = of_outcome(question, material, outcome)
    try:
        return baci(study, Estimator(study, match(study, config.matching), config.estimate, config.seed))
    except InputError as error:
        raise InputError(f"question {question.title!r}, placebo outcome {outcome}: {error}") from None


def _caveats(found: Answer, material: Material, config: ImpactConfig, *, adjusted: bool) -> Iterator[str]:
    """What a reader must be told, most of it only where it applies."""
    yield (
        "The effect is that on the matched treated units. It is one of the treatment if, without it, they would have"
        " changed as their controls did; matching makes them alike in the covariates listed, not in what was not"
        " measured."
    )
    treated = int(found.question.study.treated.sum())
    if len(found.matches.unmatched) > _UNMATCHED * treated:
        yield (
            f"{len(found.matches.unmatched)} of {treated} treated units have no control (none within the calipers, or"
            " all of these serve others): the effect says nothing about them."
        )
    matched_on = found.balance[found.balance["matched_on"]]
    worst = matched_on[matched_on["smd"].abs() >= UNBALANCED]
    if len(worst):
        after = "which the regression adjusts for linearly" if adjusted else "and is not adjusted for"
        yield f"After matching {', '.join(worst['covariate'])} still differ by {UNBALANCED} or more, {after}."
    if config.estimate.adjust and not adjusted and found.question.study.covariates.shape[1]:
        yield "There are too few pairs for a regression on the covariates, so that the effect is not adjusted."
    if found.effect.blocks < _FEW_BLOCKS:
        yield f"The interval rests on about {found.effect.blocks:.1f} blocks only, and is wide and uncertain for that."
    if config.matching.min_distance_m == 0:
        yield "Controls may lie beside treated units, and feel the treatment themselves (matching.min_distance_m)."
    yield from _failed_checks(found)
    if material.outcomes.from_maps:
        yield (
            "The outcome was predicted by a model: an effect that the model's inputs do not show is missed, and one"
            " that they show in part comes out too small."
        )
        yield from map(sentence, material.outcomes.notes)


def sentence(note: str) -> str:
    """A note as a sentence."""
    return f"{note[0].upper()}{note[1:]}."


def _failed_checks(found: Answer) -> Iterator[str]:
    for name, (beyond, count) in found.placebos.counts().items():
        if beyond and name == NEIGHBOURS:
            yield "Controls near treated units changed as well: the effect spills over (matching.min_distance_m)."
        elif beyond > _FLAGGED * count:
            what = "already before the treatment" if name == FAKE_DATE else "where there was no treatment"
            yield f"Placebo test, {name}: {beyond} of {count} find an effect {what}; do not trust the estimate."
    for name, effect in found.placebo_outcomes.items():
        if effect.beyond:
            yield f"Placebo test: an effect is found on {name}, on which there can be none; do not trust the estimate."
    if found.events is not None and found.events.trend_p < 0.05:
        yield (
            f"Treated units and controls had already moved apart before the treatment (p = {found.events.trend_p:.3f})."
        )
    if found.effect.beyond and found.sensitivity.gamma < _WEAK_GAMMA:
        yield (
            f"A hidden difference that changes the odds of treatment by a factor of {found.sensitivity.gamma:.2f} could"
            " explain the effect away."
        )
