"""Configuration of the models. Imports no torch, so that a configuration is checked in milliseconds."""

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sdm_ray.config import Config
from sdm_ray.input_paths import InputPath, existing

Scale = Literal["plant", "landscape", "satellite"]
CalibrationKind = Literal["platt", "temperature", "isotonic", "none"]
HUB = "hub"
"""Instead of a file: a model's own weights from its model hub."""
TowerWeights = Annotated[str, AfterValidator(lambda name: name if name == HUB else existing(name))]
ScalePair = tuple[Scale, Scale]
"""Two scales whose images of one place are matched."""


class HashConfig(Config):
    """Tables of a hash grid."""

    levels: int = Field(12, ge=2)
    """Grids between the longest and the shortest of `wavelengths_km`, which are their cells."""
    table: int = Field(1 << 14, ge=2)
    """Rows of each table."""
    features: int = Field(2, ge=1)
    """Numbers of a row."""


class LocationConfig(Config):
    """A location encoder: coordinates to an embedding."""

    kind: Literal["ladder", "sincos", "harmonics", "capsules", "hashgrid"] = "ladder"
    """`ladder`: global context and Fourier features of EPSG:3035 metres; `sincos`: four sines and cosines (SINR);
    `harmonics`: spherical harmonics and sines (SatCLIP); `capsules`: GeoCLIP's; `hashgrid`: learnt grids."""
    wavelengths_km: tuple[float, ...] = (3000, 1500, 750, 500, 250)
    """Wavelengths of the ladder, the longest first; short ones overfit where places are sparse."""
    anneal: bool = False
    """Whether short wavelengths come in during pretraining; of `ladder` and `hashgrid`."""
    degrees: int = Field(10, ge=1)
    """Degrees of the harmonics, which resolve 20,000 km / degrees."""
    hash: HashConfig = HashConfig()
    weights: InputPath | None = None
    """GeoCLIP's published weights, of `capsules`: its wheel `geoclip-*.whl`, or the .pth inside it."""
    frozen: bool = False
    """Whether the capsules are frozen."""
    time: bool = False
    """Whether day of year and year, where they are known, are inputs too."""
    directions: int = Field(16, ge=1)
    """Random directions for each wavelength; a sine and a cosine for each."""
    hidden: int = Field(256, ge=1)
    """Width of the residual network."""
    depth: int = Field(4, ge=0)
    """Residual blocks."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout in the residual blocks."""
    dim: int = Field(128, ge=1)
    """Length of the embedding."""

    @model_validator(mode="after")
    def _wavelengths_are_lengths(self) -> Self:
        for wavelength in self.wavelengths_km:
            if not (wavelength > 0 and math.isfinite(wavelength)):
                raise ValueError(f"wavelengths_km has {wavelength:g}; expected kilometres above 0")
        return self

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        if (self.weights is not None or self.frozen) and self.kind != "capsules":
            raise ValueError(f"weights and frozen: only for the kind capsules, found {self.kind}")
        if self.anneal and self.kind not in ("ladder", "hashgrid"):
            raise ValueError(f"anneal: {self.kind} has no wavelengths; expected ladder or hashgrid")
        ordered = sorted(self.wavelengths_km, reverse=True)
        if (self.anneal or self.kind == "hashgrid") and list(self.wavelengths_km) != ordered:
            raise ValueError("wavelengths_km: expected the longest first")
        if self.kind == "hashgrid" and len(set(self.wavelengths_km)) < 2:
            raise ValueError("wavelengths_km: a hash grid needs its longest and its shortest cell")
        return self


class TowerConfig(Config):
    """An image tower: images of one scale to an embedding."""

    name: str = "test_convnext2"
    """Any timm model."""
    bands: int = Field(3, ge=1)
    """Channels of the images."""
    mean: tuple[float, ...] = (123.7, 116.3, 103.5)
    """Mean of each band, in the units of the images; one number stands for all."""
    std: tuple[float, ...] = (58.4, 57.1, 57.4)
    """Standard deviation of each band."""
    nodata_zero: bool = False
    """Whether a pixel whose bands are all 0 has no data (reflectance) and is set to the mean."""
    size: int | None = Field(None, ge=1)
    """Side of the images, pixels; for models that are built for one size (transformers)."""
    weights: TowerWeights | None = None
    """Weights to start from: a local file of timm's weights (safetensors or pth), or `hub` for the model's own from
    its model hub. The first convolution is fitted to the bands."""
    trained_blocks: int | None = Field(None, ge=0)
    """Last blocks that are trained, the others stay as they are; None trains all, 0 none."""
    recompute: bool = False
    """Whether to recompute activations in the backward pass (gradient checkpointing), if the model supports it."""
    chunk: int | None = Field(None, ge=1)
    """Images whose activations are held at once; those of others are recomputed in the backward pass."""
    norm: Literal["group", "frozen"] = "group"
    """Replacement of batch norms: group norms, or frozen statistics. With either, gradients do not depend on how a
    batch is split over ranks."""
    dim: int = Field(128, ge=1)
    """Length of the embedding."""

    @model_validator(mode="after")
    def _statistics_fit_bands(self) -> Self:
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.bands):
                raise ValueError(f"{name} has {len(getattr(self, name))} numbers for {self.bands} bands")
            if not all(map(math.isfinite, getattr(self, name))):
                raise ValueError(f"{name} has a number that is not finite")
        if min(self.std) <= 0:
            raise ValueError(f"std has {min(self.std):g}; expected numbers above 0")
        return self


def weights_files(parts: Iterable[LocationConfig | TowerConfig | None]) -> list[str]:
    """Local files of published weights that encoders and towers start from."""
    named = [part.weights for part in parts if part is not None and part.weights is not None]
    return [name for name in dict.fromkeys(named) if name != HUB]


class AlignConfig(Config):
    """Coordinates and images of several scales in one space."""

    old_keys: ClassVar = {"between": "cross_scale_pairs"}

    location: LocationConfig = LocationConfig()
    """The location encoder."""
    towers: dict[Scale, TowerConfig]
    """An image tower for each scale."""
    covariates: tuple[str, ...] = ()
    """Names of covariates that are one more modality of the contrast."""
    species: int = Field(0, ge=0)
    """Number of species, where sets of species are one more modality."""
    dense: int = Field(0, ge=0)
    """Length of what is known everywhere and regressed from the coordinates."""
    cross_scale_pairs: tuple[ScalePair, ...] = ()
    """Scales whose images of one place are matched with each other too."""
    dim: int = Field(128, ge=1)
    """Length of the shared embedding."""
    temperature: float = Field(0.07, gt=0)
    """Where the learnt temperature of each modality starts."""
    bias: float | None = None
    """Where the learnt bias of each modality starts, which only the sigmoid loss has."""

    @model_validator(mode="after")
    def _some_modality(self) -> Self:
        if not (self.towers or self.covariates or self.species or self.dense):
            raise ValueError("towers: needs at least one scale, or covariates, species or dense")
        return self


def pair_name(scales: ScalePair) -> str:
    """What the pairs of two scales' images are called among the modalities."""
    return "-".join(scales)


class SeriesConfig(Config):
    """Encoders of time series, one for each: what was measured at a place over time to an embedding."""

    names: tuple[str, ...] = ()
    """Series of the store to use, such as `landsat`; by default all."""
    axes: dict[str, dict[str, tuple[int | str, ...]]] = Field(default_factory=dict)
    """Coordinates of each series' axes by name, the channels and then one or two of time; `finetune` takes them from
    the store."""
    hidden: int = Field(32, ge=8, multiple_of=8)
    """Channels of the convolutions."""
    depth: int = Field(2, ge=0)
    """Residual blocks, of two convolutions each."""
    dim: int = Field(64, ge=1)
    """Length of each embedding."""


class NearbyImagesConfig(Config):
    """Sizes of what a model keeps of the images around its surveys; `finetune` sets it."""

    places: int = Field(ge=1)
    """Places with images."""
    components: int = Field(ge=1)
    """Features of each."""
    ranges_km: tuple[float, ...] = Field(min_length=1)
    """Ranges of the kernel means."""


class SpeciesConfig(Config):
    """A species model: what is known of a place to the probability of every species."""

    old_keys: ClassVar = {"beside": "frozen_location_features"}

    location: LocationConfig | None = LocationConfig()
    """The location encoder; None for a model that does not know where it is."""
    satellite: TowerConfig | None = None
    """The tower of satellite patches."""
    landscape: TowerConfig | None = None
    """The tower of photos of landscapes."""
    plant: TowerConfig | None = None
    """The tower of photos of plants."""
    nearby_images: NearbyImagesConfig | None = None
    """What is kept of images around the surveys; `finetune` sets it from its own `nearby_images`."""
    image_distances: tuple[Scale, ...] = ()
    """Scales whose image may be of a place nearby, and whose distance is one more input; `finetune` sets it from
    `images.<scale>.within_m`."""
    covariates: tuple[str, ...] = ()
    """Names of the covariates, in the order of the batch."""
    partial_covariates: bool = False
    """Use the covariates that are known where others are not: a learnt value stands for each that is unknown. Otherwise
    the model does without covariates in a place where one is unknown."""
    series: SeriesConfig | None = None
    """The encoders of time series."""
    output: Literal["species", "class"] = "species"
    """`species`: any number of them at a place; `class`: one of them, such as a habitat."""
    frequencies: int = Field(0, ge=0)
    """Learnt frequencies of each covariate, added to the covariate itself; 0 for none."""
    frozen_location_features: tuple[LocationConfig, ...] = ()
    """Further features of the coordinates, that nothing trains: waves of named lengths, or what GeoCLIP's published
    encoder gives. The networks of these encoders do not count."""
    fusion: Literal["network", "none"] = "network"
    """`none`: z is what the encoders give and the covariates, side by side."""
    embedding: int = Field(128, ge=1, le=256)
    """Length of z of a fusion by a network; the head is linear in it."""
    hidden: int = Field(256, ge=1)
    """Width of the fusion."""
    depth: int = Field(2, ge=0)
    """Residual blocks of the fusion."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the fusion."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """Chance that an optional input of a row is hidden in training, so that predictions without it are learnt."""

    @model_validator(mode="after")
    def _frozen_features_fit(self) -> Self:
        if self.frozen_location_features and self.location is None:
            raise ValueError(
                "frozen_location_features: tells where a place is, and `location: null` that the model does not know"
            )
        if any(each.kind == "hashgrid" or each.anneal or each.time for each in self.frozen_location_features):
            raise ValueError(
                "frozen_location_features: nothing trains it; expected neither a hash grid nor `anneal` nor `time`"
            )
        return self

    @property
    def towers(self) -> dict[Scale, TowerConfig]:
        """The image towers by scale."""
        towers: dict[Scale, TowerConfig | None] = {
            "satellite": self.satellite,
            "landscape": self.landscape,
            "plant": self.plant,
        }
        return {scale: tower for scale, tower in towers.items() if tower is not None}
