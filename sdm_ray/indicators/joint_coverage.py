"""How often intervals hold the observed figure, in blocks that were held out from the model and from the intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from sdm_ray.indicators.joint_calibrate import calibrated
from sdm_ray.indicators.joint_draws import JointDraws
from sdm_ray.indicators.joint_fit import FitSettings, HeldOut, fit_error_model
from sdm_ray.indicators.joint_totals import Totals, zone_totals

METHODS = ("joint", "independent", "conformal")


@dataclass(frozen=True)
class CoverageSettings:
    """How coverage is measured.

    Attributes:
        zones_m: sides of the square zones, metres; 0 for single surveys.
        level: nominal coverage.
        draws: of the errors.
        seed: of the draws and samples.
    """

    zones_m: tuple[float, ...] = (0.0, 10_000.0, 100_000.0)
    level: float = 0.9
    draws: int = 200
    seed: int = 0


def coverage(
    training: Sequence[HeldOut], tested: Sequence[HeldOut], species: Sequence[str], fit: FitSettings,
    settings: CoverageSettings,
) -> pd.DataFrame:  # fmt: skip
    """Coverage of the intervals of richness and of species by size of zone.

    Args:
        training: predictions that intervals are fitted on, one for each fold.
        tested: predictions of the fold's own blocks, which neither its model nor `training` knows.
        species: names, (S,).
        fit: of the error model.
        settings: of the measure.

    Returns:
        One row for each size and quantity (`richness`: presences of all species in a zone; `species`: presences of each
        species of which at least 5 are expected): number of intervals, share covered by method, and how much wider the
        joint intervals are than independent ones (median).
    """
    found: dict[tuple[float, str], list[tuple[Totals, float]]] = {}
    for known, held_out in zip(training, tested, strict=True):
        model = calibrated(fit_error_model(known, species, fit), known, settings.level, seed=settings.seed)
        for size in settings.zones_m:
            drawn = JointDraws(model, settings.draws, settings.seed, site=True)
            fitted = zone_totals(known, size, settings.level, None, seed=settings.seed)
            tested_totals = zone_totals(held_out, size, settings.level, drawn, seed=settings.seed)
            for quantity, totals in tested_totals.items():
                scores = fitted[quantity].scores
                cut = float(np.quantile(scores, settings.level, method="higher")) if len(scores) else np.nan
                found.setdefault((size, quantity), []).append((totals, cut))
    return pd.DataFrame([_row(size, quantity, each, settings) for (size, quantity), each in found.items()])


def _row(
    size: float, quantity: str, parts: list[tuple[Totals, float]], settings: CoverageSettings
) -> dict[str, float | int | str]:
    z = float(ndtri((1 + settings.level) / 2))
    shares = {
        method: np.concatenate([totals.covered(method, z, cut) for totals, cut in parts]) for method in METHODS
    }  # fmt: skip
    width = np.concatenate([(each.high - each.low) / (2 * z * np.maximum(each.deviation, 1e-9)) for each, _ in parts])
    many = len(width) > 0
    return {
        "zone_km": size / 1000,
        "quantity": quantity,
        "intervals": len(width),
        **{method: float(each.mean()) if many else np.nan for method, each in shares.items()},
        "joint_width": float(np.median(width)) if many else np.nan,
    }
