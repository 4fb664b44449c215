import numpy as np
import pytest
from helpers.management import small

from sdm_ray.impact.study import Periods


def test_years_before_and_after():
    years = np.arange(2000.0, 2010)
    before, after = Periods(before=2, after=3, transition=1).of(years, 2005.0)
    assert years[before].tolist() == [2003, 2004] and years[after].tolist() == [2006, 2007, 2008]
    before, after = Periods().of(years, 2004.5, end=2008.0)
    assert years[before].tolist() == [2000, 2001, 2002, 2003, 2004] and years[after].tolist() == [2005, 2006, 2007]


def test_a_change_needs_outcomes_on_both_sides():
    units = small([1, 0, 0], [2001] * 3, [[1, 3, 5], [np.nan, 3, 5], [1, np.nan, 5]], years=(2000, 2001, 2002))
    assert np.array_equal(units.changes(), [[3, np.nan, 4]], equal_nan=True)


def test_each_date_has_changes_of_its_own():
    units = small([1, 1, 0], [2001, 2002, 0], [[0, 1, 2]] * 3, years=(2000, 2001, 2002))
    assert units.dates.tolist() == [2001, 2002] and units.row_of_date().tolist()[:2] == [0, 1]
    assert units.changes()[:, 2].tolist() == [1.5, 1.5]
    assert units.means_after()[:, 2].tolist() == [1.5, 2.0]


def test_lags_are_compared_with_the_last_year_before():
    units = small([1, 0], [2002, 0], [[5, 1, 3, 7]] * 2, years=(1999, 2000, 2003, 2005))
    assert units.lags().tolist() == [-3, -2, 1, 3]
    assert [units.since(lag)[0, 0] for lag in units.lags()] == [4, 0, 2, 6]


def test_dates_moved_back_do_not_look_beyond_the_true_date():
    units = small([1, 0], [2003, 0], [[1, 2, 3, 99]] * 2, years=(2000, 2001, 2002, 2003)).moved_back(1.0)
    assert units.dates.tolist() == [2002] and units.changes()[0, 0] == pytest.approx(3 - 1.5)


def test_some_of_the_units_keep_their_draws():
    draws = np.arange(12.0).reshape(2, 3, 2)
    units = small([1, 0, 0], [2005] * 3, np.zeros((3, 2)), draws=draws).only(np.array([True, False, True]))
    assert units.draw_count == 2 and units.changes(1).tolist() == [[1, 1]] and units.draws.shape == (2, 2, 2)
