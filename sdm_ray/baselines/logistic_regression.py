"""Logistic regression on fixed features of places as a baseline."""

from collections.abc import Sequence

import numpy as np
import torch

from sdm_ray.baselines.config import RIDGES, LogisticConfig
from sdm_ray.baselines.ridge import best
from sdm_ray.models.config import LocationConfig
from sdm_ray.models.location import FrozenLocationFeatures

_ROWS_AT_ONCE = 8192


class Logistic:
    """A ridge logistic regression for each species, presences weighing as much as absences.

    Features are standardised; a missing covariate is imputed by the mean of the training rows.

    Args:
        config: its settings.
        blocks: number of the spatial block of each row, (N,): whole blocks choose the penalties, since neighbours of
            the rows that are learnt from would choose weak ones; by default each row by itself.
    """

    def __init__(self, config: LogisticConfig, blocks: np.ndarray | None = None) -> None:
        names = [config.features, *(["GeoCLIP"] if config.geoclip else [])]
        self.name = f"logistic regression, {', '.join(names)}"
        self._config = config
        self._blocks = blocks
        places = [LocationConfig(wavelengths_km=config.wavelengths_km)]
        places += [LocationConfig(kind="capsules", weights=config.geoclip)] if config.geoclip else []
        self._places = FrozenLocationFeatures(places).eval()
        self._mean = self._std = self._matrix = self._bias = torch.zeros(0)

    def fit(self, x: np.ndarray, labels: np.ndarray, train: np.ndarray, validation: np.ndarray) -> None:
        """Fit on `train`; penalties are chosen by cross-validation in it."""
        features = self._features(x[train])
        self._mean = torch.nanmean(features, 0)
        spread = torch.sqrt(torch.nanmean((features - self._mean) ** 2, 0))
        self._std = torch.where(spread > 1e-6, spread, torch.ones_like(spread))
        blocks = None if self._blocks is None else torch.from_numpy(self._blocks[train])
        known = torch.from_numpy(labels[train])
        self._matrix, self._bias = best(self._standard(features), known, self._config.ridge, blocks)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, S) float32."""
        found = torch.sigmoid(self._standard(self._features(x)) @ self._matrix + self._bias)
        return found.numpy().astype(np.float32)

    def _standard(self, features: torch.Tensor) -> torch.Tensor:
        return torch.nan_to_num((features - self._mean) / self._std)

    def _features(self, x: np.ndarray) -> torch.Tensor:
        """Features of places: coordinates, the first two columns unless there are covariates alone, become features."""
        given = torch.from_numpy(x)
        if self._config.features == "covariates":
            return given.float()
        parts = []
        with torch.inference_mode():
            for rows in given.split(_ROWS_AT_ONCE):
                parts.append(torch.cat([self._places(rows[:, :2].double()), rows[:, 2:].float()], 1))
        return torch.cat(parts).clone()


def heads(
    x: torch.Tensor, labels: torch.Tensor, ridge: Sequence[float] = RIDGES, groups: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ridge logistic regressions on standardised features, presences weighing as much as absences.

    Args:
        x: features, float32 (N, F).
        labels: 0, 1 or `models.species_losses.UNKNOWN`, (N, S).
        ridge: penalties of the squared coefficients, one of which is chosen for each species by cross-validation.
        groups: number of each row's spatial block, int64 (N,), which lies in one part; by default each row by itself.

    Returns:
        Coefficients (S, F) and intercepts (S,) for the features as given, before standardisation.
    """
    std, mean = torch.std_mean(x, 0)
    std = torch.where(std > 1e-6, std, torch.ones_like(std))
    matrix, bias = best((x - mean) / std, labels, ridge, groups)
    return matrix.T / std, bias - (mean / std) @ matrix
