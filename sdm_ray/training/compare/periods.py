"""Hindcast and forecast: what is learnt from the surveys of one period, tested on those of another.

Places of both periods are the same land: what is tested is transfer in time, not in space. Where surveys of the periods
lie at other places, the observed change of a species' occupancy is in part a change of places; predictions are made for
the very places that are tested, so that this part is the same in both.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role, role
from sdm_ray.metrics.ranking import auc, average_precision, spearman
from sdm_ray.progress import say
from sdm_ray.stores.surveys import read_surveys
from sdm_ray.training.finetune.data import Table

NAMES = ("forecast", "hindcast")
"""Of fold 0, where later surveys are tested, and fold 1, where earlier ones are."""
COLUMNS = ("predicted_occupancy", "auc", "ap")
_NOTHING = -1  # held out: no fold of blocks has this number


@dataclass(frozen=True)
class PeriodTable(Table):
    """Surveys of which fold 0 holds out the later period and fold 1 the earlier one.

    Blocks set surveys of the other period aside for early stopping and calibration; none is held out. Surveys without a
    year are used for nothing.

    Attributes:
        early: whether each survey is of the earlier period, (N,).
        late: whether it is of the later one, (N,).
    """

    early: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool), repr=False)
    late: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool), repr=False)

    def tested(self, fold: int) -> NDArray[np.bool_]:
        """Which surveys a fold tests, (N,)."""
        return self.late if fold == 0 else self.early

    def trained(self, fold: int) -> NDArray[np.bool_]:
        """Which surveys a fold learns from, (N,)."""
        return self.early if fold == 0 else self.late

    def role(self, held_out: int | None) -> np.ndarray:
        """What each survey is used for when one period is held out, codes of `Role`, (N,)."""
        blocks = replace(self.holdout.blocks, buffer_m=0.0)
        roles = role(self.x, self.y, blocks, None if held_out is None else _NOTHING)
        roles = np.where(self.early | self.late, roles, np.int8(Role.BUFFER))
        return roles if held_out is None else np.where(self.tested(held_out), np.int8(Role.TEST), roles)


def by_period(table: Table, surveys: UPath, until: int) -> PeriodTable:
    """The same surveys, held out by period; reports how many have no year, and are in neither.

    Args:
        table: the surveys.
        surveys: their file, which has the years.
        until: last year of the earlier period.

    Raises:
        InputError: one of the periods has no survey.
    """
    years = read_surveys(surveys)[0]["year"].to_numpy(np.float64, na_value=np.nan)
    early, late = years <= until, years > until  # neither of one that is not known
    dated = years[early | late]
    if not (early.any() and late.any()):
        found = f"are of {dated.min():.0f} to {dated.max():.0f}" if len(dated) else "have no year"
        raise InputError(
            f"years_until: {until}, but surveys of {surveys} {found}; expected a year that leaves some on either side"
        )
    if len(dated) < len(years):
        say(f"  {len(years) - len(dated)} of {len(years)} surveys have no year, and are left out of both periods")
    return _held_out(table, early, late)


def in_periods_of(base: PeriodTable, table: Table) -> PeriodTable:
    """The surveys of a table with other inputs, held out by the same periods."""
    return _held_out(table, base.early, base.late)


def _held_out(table: Table, early: NDArray[np.bool_], late: NDArray[np.bool_]) -> PeriodTable:
    own = {name: getattr(table, name) for name in Table.__dataclass_fields__}
    return PeriodTable(**own, early=early, late=late)


def species_figures(
    labels: NDArray[Any], predictions: NDArray[Any], probabilities: NDArray[Any] | None
) -> NDArray[np.float64]:
    """Mean predicted occupancy, AUC and average precision of each species in the tested surveys, (3, S).

    Args:
        labels: 0 or 1, (N, S).
        predictions: that rank the surveys, (N, S).
        probabilities: whose mean is the occupancy, (N, S); None where there are none, which leaves it NaN.
    """
    unknown = np.full(labels.shape[1], np.nan)
    occupancy = unknown if probabilities is None else probabilities.mean(axis=0, dtype=np.float64)
    return np.stack([occupancy, auc(labels, predictions), average_precision(labels, predictions)])


def table_of(
    table: PeriodTable, found: Mapping[tuple[str, int], Sequence[NDArray[np.float64]]], counted: Mapping[int, Any]
) -> pd.DataFrame:
    """One row for each way, direction and species that counts: occupancies, changes and scores, means over seeds.

    Args:
        table: the surveys.
        found: way and fold -> `species_figures` of each seed.
        counted: fold -> species that count, bool (S,).
    """
    tables = []
    for (way, fold), each in found.items():
        own = pd.DataFrame({"way": way, "direction": NAMES[fold], "species": table.species["name"]})
        for name, rows in (("trained", table.trained(fold)), ("tested", table.tested(fold))):
            presences = table.labels.counts(np.flatnonzero(rows))[0]
            own[f"{name}_surveys"], own[f"{name}_presences"] = int(rows.sum()), presences
            own[f"{name}_occupancy"] = presences / rows.sum()
        own = own.assign(**dict(zip(COLUMNS, np.mean(each, axis=0), strict=True)))
        own["observed_change"] = own["tested_occupancy"] - own["trained_occupancy"]
        own["predicted_change"] = own["predicted_occupancy"] - own["trained_occupancy"]
        tables.append(own[np.asarray(counted[fold])])
    return pd.concat(tables, ignore_index=True)


def summary(species: pd.DataFrame) -> pd.DataFrame:
    """One row for each way and direction: how well changes of occupancy were predicted over species.

    `error_of_no_change` is the mean absolute change: the error of who predicts none. Where a way predicts no occupancy,
    what follows from it is NaN.
    """
    rows = []
    for (way, direction), own in species.groupby(["way", "direction"], sort=False):
        observed, predicted = own["observed_change"].to_numpy(), own["predicted_change"].to_numpy()
        same = np.sign(observed) == np.sign(predicted)
        rows.append({
            "way": way, "direction": direction, "species": len(own),
            "auc": own["auc"].mean(), "ap": own["ap"].mean(),
            "rank_correlation": float(spearman(predicted[None], observed[None])[0]),
            "same_sign": float(np.where(np.isnan(predicted), np.nan, same).mean()),
            "error": float(np.abs(predicted - observed).mean()),
            "error_of_no_change": float(np.abs(observed).mean()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def write(
    output: UPath,
    table: PeriodTable,
    left_by: Mapping[tuple[str, int], Sequence[UPath]],
    counted: Mapping[int, Any],
) -> list[dict[str, Any]]:
    """Write `periods_species.csv` and `periods.csv` (see `table_of` and `summary`); returns the rows of the latter.

    Args:
        output: folder.
        table: the surveys.
        left_by: way and fold -> file of `species_figures` of each seed.
        counted: fold -> species that count, bool (S,).
    """
    found = {key: [np.load(io.BytesIO(place.read_bytes())) for place in places] for key, places in left_by.items()}
    species = table_of(table, found, counted)
    short = summary(species)
    for name, each in (("periods_species.csv", species), ("periods.csv", short)):
        (output / name).write_text(each.to_csv(index=False, float_format="%.6g"))
    for row in short.itertuples():
        changes = (
            f"changes of occupancy of {row.species} species: rank correlation {row.rank_correlation:.2f}, error"
            f" {row.error:.4f} (of no change {row.error_of_no_change:.4f})"
        )
        if np.isnan(float(row.error)):  # type: ignore[arg-type]
            changes = "what it predicts is no probability of presence, so that no occupancy follows"
        say(f"compare: {row.way}, {row.direction}: AUC {row.auc:.3f}; {changes}")
    return [
        {str(name): None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}
        for row in short.to_dict("records")
    ]
