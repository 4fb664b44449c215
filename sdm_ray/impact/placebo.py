"""Placebo tests: the same estimate where there is no effect to be found."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from sdm_ray.errors import InputError
from sdm_ray.impact.config import ImpactConfig
from sdm_ray.impact.estimate import Effect, Estimator, baci
from sdm_ray.impact.matching import match, propensity_logit
from sdm_ray.impact.study import Booleans, Floats, Integers, Study

FAKE_DATE, FAKE_TREATMENT, ELSEWHERE, NEIGHBOURS = "fake date", "fake treatment", "sites elsewhere", "neighbours"
_LEAST_CONTROLS = 4  # possible controls for each unit that is taken as treated
_RESAMPLES = 200


@dataclass(frozen=True)
class Placebos:
    """Placebo tests of one question.

    Attributes:
        table: `test`, `number`, `effect`, `low`, `high`, `sets`, `beyond` (whether zero lies outside the interval).
        notes: why a test could not be made.
    """

    table: pd.DataFrame
    notes: list[str]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Test -> effects beyond their interval, and all."""
        groups = self.table.groupby("test", sort=False)["beyond"]
        return {str(name): (int(group.sum()), len(group)) for name, group in groups}


def placebos(study: Study, estimator: Estimator, config: ImpactConfig) -> Placebos:
    """Run the placebo tests that are configured."""
    tests: list[tuple[str, Effect]] = []
    notes: list[str] = []
    if config.placebos.fake_dates:
        found = list(fake_dates(study, estimator))
        tests += [(FAKE_DATE, effect) for effect in found]
        if not found:
            notes.append("fake dates: not tested, as too few treated units have outcomes of two years before treatment")
    distance, nearest = _nearest_treated(study)
    if config.placebos.neighbours_m is not None:
        spilled = neighbours(study, config, distance <= config.placebos.neighbours_m, nearest)
        tests += [] if spilled is None else [(NEIGHBOURS, spilled)]
        if spilled is None:
            notes.append(f"neighbours: not tested, as none within {config.placebos.neighbours_m:g} m can be matched")
    away = distance >= (config.placebos.elsewhere_m or estimator.block_m)
    for name, count, among in (
        (FAKE_TREATMENT, config.placebos.fake_treatments, ~study.treated),
        (ELSEWHERE, config.placebos.elsewhere, ~study.treated & away),
    ):
        if count:
            effects = list(fake_treatments(study, config, among, count))
            tests += [(name, effect) for effect in effects]
            if not effects:
                notes.append(f"{name}: not tested, as only {int(among.sum())} controls are left to draw from")
            elif len(effects) < count:
                notes.append(f"{name}: {count - len(effects)} of {count} draws found no controls within the calipers")
    rows = [
        {"test": name, "number": number, "effect": each.value, "low": each.low, "high": each.high, "sets": each.sets,
         "beyond": each.beyond}
        for number, (name, each) in enumerate(tests, 1)
    ]  # fmt: skip
    columns = ["test", "number", "effect", "low", "high", "sets", "beyond"]
    return Placebos(pd.DataFrame(rows, columns=columns), notes)


def fake_dates(study: Study, estimator: Estimator) -> Iterator[Effect]:
    """The effect of dates some years too early, judged by the outcomes before the true date alone.

    The years are those by which at least half of the sets have outcomes before the fake date and between the two; of
    several that compare the same outcomes the first counts.
    """
    span, last = study.years[-1] - study.years[0], None
    for years in np.arange(1, max(int(span), 1)):
        earlier = study.moved_back(float(years))
        moved = Estimator(earlier, estimator.matches, estimator.config)
        effect = baci(earlier, moved)
        if effect.sets >= max(2, 0.5 * len(estimator.unit)) and effect.value != last:
            last = effect.value
            yield effect


def fake_treatments(study: Study, config: ImpactConfig, among: Booleans, count: int) -> Iterator[Effect]:
    """The effect of being drawn: controls that are as likely to be treated as the treated units were.

    They are drawn in proportion to the odds of their propensity score, given dates of real treatments, and matched with
    the other controls of `among` by the same settings.

    Args:
        study: the units.
        config: of the matching and the estimate.
        among: the units to draw from, (N,).
        count: number of draws.
    """
    chance = np.where(among, np.exp(np.minimum(propensity_logit(study), 30)), 0)[among]
    controls = study.only(among)
    wanted = min(int(study.treated.sum()), int(among.sum()) // (1 + _LEAST_CONTROLS))
    if wanted < 2:
        return
    how = config.estimate.model_copy(update={"resamples": min(_RESAMPLES, config.estimate.resamples)})
    dates = study.date[study.treated]
    for number in range(count):
        rng = np.random.default_rng([config.seed, 70, number])
        drawn = np.zeros(len(chance), bool)
        drawn[rng.choice(len(chance), wanted, replace=False, p=chance / chance.sum())] = True
        fake = controls.with_treatment(drawn, _dates(drawn, dates, rng))
        try:
            yield baci(fake, Estimator(fake, match(fake, config.matching), how, seed=number))
        except InputError:  # none of these has a control
            continue


def neighbours(study: Study, config: ImpactConfig, near: Booleans, nearest: Integers) -> Effect | None:
    """The effect on controls near treated units, against controls farther away; None where none can be matched.

    Args:
        study: the units.
        config: of the matching and the estimate.
        near: whether each unit lies near a treated one, (N,).
        nearest: the treated unit that is nearest to each unit, whose date counts, (N,).
    """
    fake = study.with_treatment(near & ~study.treated, study.date[nearest]).only(~study.treated)
    try:
        return baci(fake, Estimator(fake, match(fake, config.matching), config.estimate, config.seed))
    except InputError:
        return None


def _dates(drawn: Booleans, dates: Floats, rng: np.random.Generator) -> Floats:
    found = np.full(len(drawn), np.nan)
    found[drawn] = rng.choice(dates, int(drawn.sum()))
    return found


def _nearest_treated(study: Study) -> tuple[Floats, Integers]:
    """Metres from each unit to the nearest treated one, and which unit that is, (N,) each."""
    places, treated = np.column_stack([study.x, study.y]), np.flatnonzero(study.treated)
    distance, which = cKDTree(places[treated]).query(places)
    return np.asarray(distance), np.asarray(treated[which])
