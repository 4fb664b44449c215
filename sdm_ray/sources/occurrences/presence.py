"""Presence or absence from the values of a table: 0 and 1, counts, cover, cover classes, words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.readers.tables import texts
from sdm_ray.sources.base import Report

_ABSENT = ("absent", "absence", "false", "no", "n", ".", "-")
_PRESENT = ("present", "presence", "true", "yes", "y", "x", "+")


@dataclass(frozen=True)
class PresenceRule:
    """From which value on a species is present.

    Attributes:
        above: a larger number is a presence.
        classes: cover class -> its cover, as a number.
        decimal: the decimal sign of numbers in text.
    """

    above: float = 0.0
    classes: dict[str, float] = field(default_factory=dict)
    decimal: str = "."

    def presences(self, values: pd.Series, where: str) -> NDArray[np.float64]:
        """1 where present, 0 where absent, NaN where nothing is written, (N,).

        Args:
            values: numbers, or text as it is written.
            where: what the column is called in messages.

        Raises:
            InputError: a value is neither a number nor a class nor a word for present or absent.
        """
        if pd.api.types.is_numeric_dtype(values):
            found = values.astype("float64")
        else:
            text = texts(values)
            words = dict.fromkeys(_ABSENT, 0.0) | (dict.fromkeys(_PRESENT, np.inf) if self.above == 0 else {})
            read = pd.to_numeric(text.str.replace(self.decimal, "."), errors="coerce")
            found = text.map(self.classes).fillna(text.str.lower().map(words)).fillna(read).astype("float64")
            wrong = (found.isna() & text.notna()).to_numpy()
            if wrong.any():
                row = int(wrong.argmax())
                raise InputError(
                    f"{where}, row {row + 1} holds {text.iloc[row]!r}, expected a number, present or absent; state "
                    "its cover in `cover_classes`"
                )
        return np.where(found.isna(), np.nan, (found > self.above).astype(np.float64))


def species_columns(names: Sequence[str], patterns: Sequence[str], others: Sequence[str], path: str) -> list[str]:
    """The columns of species of a wide table, in its order.

    Args:
        names: all columns.
        patterns: names, patterns such as `sp_*`, or ranges `first:last`.
        others: columns that are no species.
        path: what the table is called in messages.

    Raises:
        InputError: a pattern is no column.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        first, colon, last = pattern.partition(":")
        if pattern in names:
            found = [pattern]
        elif colon and first in names and last in names:
            found = list(names[names.index(first) : names.index(last) + 1])
        else:
            found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise InputError(f"{path}: has no column {pattern} of a species; found {', '.join(names[:12])}")
        chosen |= set(found)
    return [name for name in names if name in chosen and name not in others]


def present_in(
    wide: pd.DataFrame, rule: PresenceRule, path: str, report: Report
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Presences of a wide table.

    A blank is an absence only where the table writes no absences. Where it does, a row with some blanks does not say
    which species were absent and is left out, and so is one with blanks alone.

    Args:
        wide: a column for each species.
        rule: from which value on a species is present.
        path: what the table is called in messages.
        report: takes the numbers of the rows that are left out.

    Returns:
        Row and column of each presence, and which rows can be used, (N,).

    Raises:
        InputError: a value is neither a number nor a class nor a word for present or absent.
    """
    blanks, absences = np.zeros(len(wide), np.int64), 0
    present: list[NDArray[np.int64]] = []
    for name in wide.columns:
        values = rule.presences(wide[name], f"{path}: column {name}")
        blanks += np.isnan(values)
        absences += int((values == 0).sum())
        present.append(np.flatnonzero(values == 1))
    usable = np.ones(len(wide), bool)
    if absences:
        empty, partly = blanks == wide.shape[1], (blanks > 0) & (blanks < wide.shape[1])
        report.leave("no_species_data", _rows(empty))
        report.drop("species_partly_blank", _rows(partly))
        usable = ~(empty | partly)
    rows = np.concatenate(present)
    columns = np.repeat(np.arange(len(present)), [len(each) for each in present])
    kept = usable[rows]
    return rows[kept], columns[kept], usable


def _rows(chosen: NDArray[np.bool_]) -> list[str]:
    return [f"row {row + 1}" for row in np.flatnonzero(chosen)]
