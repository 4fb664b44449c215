"""The species model: from the inputs known of a place to the probability of every species there."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sdm_ray.models.batch import given_at
from sdm_ray.models.calibration import Calibration, InputCalibrations, name_of
from sdm_ray.models.config import Scale, SpeciesConfig
from sdm_ray.models.forest import Forest
from sdm_ray.models.layers import PeriodicNumbers, residual_mlp
from sdm_ray.models.location import FrozenLocationFeatures, LocationEncoder
from sdm_ray.models.nearby_images import NearbyImages
from sdm_ray.models.series_encoder import SeriesEncoder
from sdm_ray.models.towers import ImageTower

_NEAR_M = 100.0
"""Distances of images below it hardly count."""


class SpeciesModel(nn.Module):
    """Location, images, time series and covariates, fused to z, with a head that is linear in z.

    Every input but the coordinates may be missing in a row: a learnt token replaces it, and inputs are hidden at random
    in training so that the model learns to predict without them. A forest may join the ensemble: its logits lengthen z.

    Args:
        config: of the model.
        n_species: number of species.
    """

    satellite: ImageTower
    covariate_mean: Tensor
    covariate_std: Tensor
    calibration_scale: Tensor
    calibration_shift: Tensor
    calibration_curve: Tensor | None
    forest: Forest | None
    ensemble_weight: Tensor | None

    def __init__(self, config: SpeciesConfig, n_species: int) -> None:
        super().__init__()
        self.config = config
        widths: dict[str, int] = {}
        if config.location is not None:
            self.location = LocationEncoder(config.location)
            widths["location"] = config.location.dim
        for scale, tower in config.towers.items():
            self.add_module(scale, ImageTower(tower))
            widths[scale] = tower.dim + (scale in config.image_distances)
        if config.series is not None:
            shapes = {name: tuple(map(len, axes.values())) for name, axes in config.series.axes.items()}
            self.series = nn.ModuleDict({name: SeriesEncoder(each, config.series) for name, each in shapes.items()})
            widths |= {f"series_{name}": config.series.dim for name in shapes}
        if count := len(config.covariates):
            widths["covariates"] = count
        self.register_buffer("covariate_mean", torch.zeros(count))
        self.register_buffer("covariate_std", torch.ones(count))
        self.missing = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(width)) for name, width in widths.items() if name != "location"}
        )
        if count and config.frequencies:
            self.periodic = PeriodicNumbers(count, config.frequencies)
            widths["covariates"] = self.periodic.dim
        if config.frozen_location_features:
            self.frozen_location_features = FrozenLocationFeatures(config.frozen_location_features)
            widths["frozen_location_features"] = self.frozen_location_features.dim
        if config.nearby_images is not None:
            self.nearby_images = NearbyImages(config.nearby_images)
            widths["nearby_images"] = self.nearby_images.dim
        width, fused = sum(widths.values()), config.fusion == "network"
        sizes = (width, config.hidden, config.depth, config.embedding, config.dropout)
        self.fusion = residual_mlp(*sizes) if fused else nn.Sequential()
        self.head = nn.Linear(config.embedding if fused else width, n_species)
        self.register_buffer("calibration_scale", torch.ones(n_species))
        self.register_buffer("calibration_shift", torch.zeros(n_species))
        self.register_buffer("calibration_curve", None)  # of `isotonic` alone
        self.calibrations = InputCalibrations()
        self.register_module("forest", None)
        self.register_buffer("ensemble_weight", None)

    @property
    def width(self) -> int:
        """Length of z."""
        return self.head.in_features + (0 if self.forest is None else self.head.out_features)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits of a batch, (N, S), before calibration."""
        z = self.embed(batch)
        return self.head(z) if self.ensemble_weight is None else self._logits(z, slice(None)).T

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """The fused embedding z of a batch, followed by the logits of a forest in the ensemble, (N, width).

        Args:
            batch: `lonlat` (N, 2); where the model uses them `covariates` (N, C) with `has_covariates` (N, C), of each
                scale `image_<scale>` with `has_<scale>` (N,), holding only the rows that have one, in order, or
                `features_<scale>` (N, dim), what the tower made of them, with `distance_<scale>` (N,), metres to the
                image's place (else 0), for the scales of `image_distances`, and of each series `series_<name>`
                (N, channels, time...), not finite where nothing was measured, with `has_series_<name>` (N,). An image
                or series that is not there is missing in all rows. Where places share covariates, each may be given
                once, (U, C) both, with `covariates_of` (N,), the row of each place. In training `hide_<input>`
                (N,) may say which rows' covariates, images or series to hide.
        """
        parts = [self.location(batch["lonlat"])] if self.config.location is not None else []
        parts += [self.frozen_location_features(batch["lonlat"])] if self.config.frozen_location_features else []
        parts += [self.nearby_images(batch["lonlat"])] if self.config.nearby_images is not None else []
        parts += [self._image(scale, batch) for scale in self.config.towers]
        if self.config.series is not None:
            parts += [self._series(name, batch) for name in self.config.series.axes]
        if self.config.covariates:
            parts.append(self._covariates(batch))
        z = self.fusion(torch.cat(parts, -1))
        return z if self.forest is None else torch.cat([z, self._forest_logits(self.forest, batch, z)], -1)

    def probabilities(self, batch: dict[str, Tensor]) -> Tensor:
        """Calibrated probabilities of a batch, (N, S)."""
        found = self.forward(batch)
        for given, rows in given_at(batch, self.config):
            found[rows] = self.calibrate(found[rows], given)
        return found

    def probabilities_of(self, z: Tensor, species: slice, given: Collection[str] | None = None) -> Tensor:
        """Calibrated probabilities of K of the species from embeddings z (N, width): (K, N), as maps hold them."""
        if self.config.output == "class":
            return self.calibrate(self.head(z), given)[:, species].T  # the shares of all classes sum to 1
        return torch.sigmoid(self.calibration(given).apply(self._logits(z, species), species))

    def _logits(self, z: Tensor, species: slice) -> Tensor:
        """Logits of K of the species from embeddings z (N, width), (K, N)."""
        own = z[:, : self.head.in_features]
        logits = torch.addmm(self.head.bias[species, None], self.head.weight[species], own.T)
        if self.ensemble_weight is None:
            return logits
        return torch.lerp(logits, z[:, self.head.in_features :].T[species], self.ensemble_weight)

    def calibrate(self, logits: Tensor, given: Collection[str] | None = None) -> Tensor:
        """Logits (N, S) to probabilities by each species' own calibration; those of classes sum to 1."""
        calibrated = self.calibration(given).apply(logits.T, slice(None)).T
        return torch.softmax(calibrated, -1) if self.config.output == "class" else torch.sigmoid(calibrated)

    def calibration(self, given: Collection[str] | None = None) -> Calibration:
        """The calibration of predictions from coordinates, covariates and the images and series `given`; None: all."""
        whole = Calibration(self.calibration_scale, self.calibration_shift, self.calibration_curve)
        return whole if given is None else self.calibrations.get(name_of(given), whole)

    def set_calibration(self, calibration: Calibration, name: str = "") -> None:
        """Calibrate anew; with a name, predictions from the inputs of that name (see `calibration.name_of`)."""
        found = calibration.to(self.calibration_scale)
        if name:
            self.calibrations[name] = found
            return
        self.calibration_scale, self.calibration_shift, self.calibration_curve = found

    def set_forest(self, forest: Forest, ensemble_weight: float) -> None:
        """Add a forest to the ensemble, with a weight in the logits.

        Args:
            forest: of the model's species, on the model's coordinates and covariates, in this order.
            ensemble_weight: its share.
        """
        device = self.head.weight.device
        self.forest, self.ensemble_weight = forest.to(device), torch.tensor(ensemble_weight, device=device)

    def columns_of(self, numbers: list[int]) -> list[int]:
        """Columns of z that some species are predicted from."""
        own = list(range(self.head.in_features))
        return own if self.forest is None else own + [self.head.in_features + number for number in numbers]

    @torch.no_grad()
    def keep_species(self, numbers: list[int]) -> None:
        """Keep only these species, numbered anew in this order; the embedding stays the same."""
        head = nn.Linear(self.head.in_features, len(numbers)).to(self.head.weight)
        head.weight.copy_(self.head.weight[numbers])
        head.bias.copy_(self.head.bias[numbers])
        self.head = head.train(self.training)
        if self.forest is not None:
            self.forest.keep_species(numbers)
        self.set_calibration(self.calibration().of_species(numbers))
        for name in self.calibrations.names():
            self.calibrations[name] = self.calibrations[name].of_species(numbers)

    @torch.no_grad()
    def set_prevalence(self, prevalence: Tensor) -> None:
        """Initialise the head at the prevalence of each species among the surveys, (S,)."""
        share = prevalence.clamp(1e-5, 1 - 1e-5)
        self.head.bias.copy_(torch.log(share) if self.config.output == "class" else torch.logit(share))
        nn.init.normal_(self.head.weight, std=0.01)

    @torch.no_grad()
    def set_head(self, matrix: Tensor, bias: Tensor) -> None:
        """Set a head that was fitted to the z of this model, (S, F) and (S,)."""
        self.head.weight.copy_(matrix)
        self.head.bias.copy_(bias)

    @torch.no_grad()
    def set_series_statistics(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """How series are standardised: mean and standard deviation of the channels of each, by name."""
        for name, each in statistics.items():
            self.series[name].standard.set(*each)  # type: ignore[union-attr, operator]

    @torch.no_grad()
    def set_covariate_statistics(self, mean: Tensor, std: Tensor) -> None:
        """How covariates are standardised, (C,) each; what does not vary is left as it is."""
        self.covariate_mean.copy_(mean)
        self.covariate_std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401
        curve = state_dict.get(f"{prefix}calibration_curve")  # not every model has one
        self.calibration_curve = None if curve is None else self.calibration_scale.new_empty(curve.shape)
        own = f"{prefix}forest."
        if held := {name.removeprefix(own): each for name, each in state_dict.items() if name.startswith(own)}:
            self.set_forest(Forest({name: torch.empty_like(each) for name, each in held.items()}), 0.0)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _forest_logits(self, forest: Forest, batch: dict[str, Tensor], z: Tensor) -> Tensor:
        """Logits of the forest, (N, S); the head's where a covariate is unknown, so that the network answers alone."""
        parts = [batch["lonlat"].float()] if self.config.location is not None else []
        if not self.config.covariates:
            return forest.logits(parts[0])
        values, known = batch["covariates"], batch["has_covariates"].all(-1)
        if "covariates_of" in batch:
            values, known = values[batch["covariates_of"]], known[batch["covariates_of"]]
        logits = forest.logits(torch.cat([*parts, values], -1)[known])
        return self.head(z).index_put((known,), logits)

    def _image(self, scale: Scale, batch: dict[str, Tensor]) -> Tensor:
        values = batch.get(f"features_{scale}")
        if values is None:
            has, images = batch.get(f"has_{scale}"), batch.get(f"image_{scale}")
            if has is None or images is None:
                return self.missing[scale].expand(len(batch["lonlat"]), -1)
            embedded = torch.zeros(0, self.config.towers[scale].dim, device=has.device)
            if len(images) or self.training:  # the tower takes part on every rank
                embedded = self.get_submodule(scale)(images)
            given = torch.cat([embedded, embedded.new_zeros(1, embedded.shape[1])])
            values = given.index_select(0, torch.where(has, has.cumsum(0) - 1, len(images)))
        if scale in self.config.image_distances:
            metres = batch.get(f"distance_{scale}", torch.zeros(len(values), device=values.device))
            values = torch.cat([values, torch.log1p(metres / _NEAR_M)[:, None].to(values.dtype)], -1)
        return self._or_missing(scale, values, batch)

    def _covariates(self, batch: dict[str, Tensor]) -> Tensor:
        values = (batch["covariates"] - self.covariate_mean) / self.covariate_std
        values = self._or_missing("covariates", values, batch)
        made = self.periodic(values) if self.config.frequencies else values
        return made[batch["covariates_of"]] if "covariates_of" in batch else made

    def _series(self, name: str, batch: dict[str, Tensor]) -> Tensor:
        key = f"series_{name}"
        if key not in batch:
            return self.missing[key].expand(len(batch["lonlat"]), -1)
        return self._or_missing(key, self.series[name](batch[key]), batch)

    def _or_missing(self, name: str, values: Tensor, batch: dict[str, Tensor]) -> Tensor:
        shown = batch[f"has_{name}"] if name == "covariates" else batch[f"has_{name}"][:, None]
        if not self.config.partial_covariates:
            shown = shown.all(-1, keepdim=True)
        if self.training and f"hide_{name}" in batch:
            shown = shown & ~batch[f"hide_{name}"][:, None]
        return torch.where(shown, values, self.missing[name].to(values.dtype))
