"""The data of one question as arrays: treated units and possible controls, their outcomes by year, their covariates."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Periods:
    """Which years count as before and as after a treatment.

    Attributes:
        before: most years before it.
        after: most years after it, counted from the end of the transition.
        transition: years from the treatment on that count as neither.
    """

    before: float = np.inf
    after: float = np.inf
    transition: float = 0.0

    def of(self, years: Floats, date: float, end: float = np.inf) -> tuple[Booleans, Booleans]:
        """Whether each year counts as before, and as after, a treatment at `date`; years from `end` on do not count."""
        since = years - date
        after = (since >= self.transition) & (since < self.transition + self.after) & (years < end)
        return (since < 0) & (since >= -self.before), after


@dataclass(frozen=True)
class Study:
    """Units of one question.

    Attributes:
        ids: names of the units, (N,).
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        treated: (N,).
        date: year of the treatment, NaN for controls, (N,).
        years: of the outcomes, ascending, (T,).
        outcome: NaN where it is not known, (N, T).
        covariates: known for every unit, (N, C).
        names: of the covariates, (C,).
        exact: number of the group within which a unit is matched, (N,).
        periods: which years count.
        draws: joint draws of the outcome that carry its error, (D, N, T); None where it has none.
        moved: years by which the dates were moved back for a test; what is later than the true date does not count.
    """

    ids: NDArray[np.str_]
    x: Floats
    y: Floats
    treated: Booleans
    date: Floats
    years: Floats
    outcome: Floats
    covariates: Floats
    names: tuple[str, ...]
    exact: Integers
    periods: Periods = Periods()
    draws: Floats | None = None
    moved: float = 0.0

    @property
    def dates(self) -> Floats:
        """The dates that occur among treated units, ascending, (G,)."""
        return np.unique(self.date[self.treated])

    @property
    def draw_count(self) -> int:
        """Number of joint draws."""
        return 0 if self.draws is None else len(self.draws)

    def changes(self, draw: int | None = None) -> Floats:
        """Mean outcome after less mean outcome before each of `dates`, for every unit, NaN where either lacks, (G, N).

        A control has a change for each date: the one of its treated unit counts.

        Args:
            draw: number of the joint draw; None for the outcome itself.
        """
        outcome = self._outcome(draw)
        return np.stack([self._change(outcome, date) for date in self.dates])

    def means_after(self) -> Floats:
        """Mean outcome after each of `dates`, for every unit, NaN where there is none, (G, N)."""
        return np.stack([_mean(self.outcome[:, self.periods.of(self.years, date)[1]]) for date in self.dates])

    def since(self, lag: float, draw: int | None = None) -> Floats:
        """Outcome `lag` years after each of `dates` less the one in the last year before it, (G, N).

        Args:
            lag: years; negative before the treatment. A year counts for the whole lag below it.
            draw: number of the joint draw; None for the outcome itself.
        """
        outcome = self._outcome(draw)
        found = np.full((len(self.dates), len(self.ids)), np.nan)
        for row, date in enumerate(self.dates):
            lags = np.floor(self.years - date)
            before = np.flatnonzero(self.years < date)
            if len(before) and (lags == lag).any():
                found[row] = _mean(outcome[:, lags == lag]) - outcome[:, before[-1]]
        return found

    def lags(self) -> Floats:
        """Whole years since treatment at which some treated unit has an outcome, ascending."""
        return np.unique(np.floor(self.years[None] - self.dates[:, None]))

    def row_of_date(self) -> Integers:
        """Position of each treated unit's date among `dates`; of controls it means nothing, (N,)."""
        return np.searchsorted(self.dates, np.where(self.treated, self.date, self.dates[0])).astype(np.int64)

    def only(self, keep: Booleans) -> "Study":
        """The same question with some of the units."""
        return replace(
            self,
            **{name: getattr(self, name)[keep] for name in _BY_UNIT},
            draws=None if self.draws is None else self.draws[:, keep],
        )

    def with_treatment(self, treated: Booleans, date: Floats) -> "Study":
        """The same units with another treatment."""
        return replace(self, treated=treated, date=np.where(treated, date, np.nan))

    def moved_back(self, years: float) -> "Study":
        """The same units with dates some years earlier; outcomes from the true date on do not count."""
        return replace(self, date=self.date - years, moved=years)

    def _outcome(self, draw: int | None) -> Floats:
        return self.outcome if draw is None or self.draws is None else self.draws[draw]

    def _change(self, outcome: Floats, date: float) -> Floats:
        before, after = self.periods.of(self.years, date, date + self.moved if self.moved else np.inf)
        return _mean(outcome[:, after]) - _mean(outcome[:, before])


_BY_UNIT = ("ids", "x", "y", "treated", "date", "outcome", "covariates", "exact")


def _mean(values: Floats) -> Floats:
    """Mean of the finite values of each row, NaN where there are none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis=1) / known.sum(axis=1))
