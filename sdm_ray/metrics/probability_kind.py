"""What values of each probability kind may be used for: one rule for every score, layer, picture and table.

Values of kind `occurrence` and `recorded` are probabilities: they have a level, so that they may be summed, cut at a
threshold and compared with frequencies. `relative` suitabilities, of presence-only records, only rank places.
"""

from sdm_ray.errors import InputError

_FROM_SUMS = ("richness", "richness_variance", "richness_sd", "richness_spread")
"""Layers of maps and indicators that are made from sums over species."""


def has_levels(kind: str) -> bool:
    """Whether values of a kind are probabilities, and not only ranks of places."""
    return kind != "relative"


def layer_has_meaning(name: str, kind: str) -> bool:
    """Whether a layer is meaningful for values of a kind: sums of relative suitabilities are no numbers of species."""
    return has_levels(kind) or name not in _FROM_SUMS


def require_levels(what: str, kind: str, *, force: bool = False, advice: str = "") -> None:
    """See that something may be derived from values of a kind.

    Args:
        what: is derived; the message begins with it.
        kind: of the values.
        force: derive it from relative suitabilities all the same.
        advice: ends the message.

    Raises:
        InputError: the values are relative suitabilities and `force` is not set.
    """
    if not has_levels(kind) and not force:
        raise InputError(
            f"{what}: the probabilities are of kind 'relative' (presence-only suitabilities, which only rank places),"
            f" expected 'occurrence' or 'recorded'{advice}"
        )
