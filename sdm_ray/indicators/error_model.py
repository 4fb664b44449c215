"""The error model of a map: how far its probabilities may be wrong, together over places and species.

On the probit scale a species is present where a + w > 0, with a the normal quantile of its mapped probability and w
normal with variance 1, so that its probability is the mapped one whatever the errors are. w is the sum of

- for each range r, `loadings[r] @ f` with K independent fields f that all species share, and `own[r]` (a variance)
  times a field of each species alone; fields have the correlation exp(-d / range), one of infinite range is constant;
- at each place, `site @ g` with K independent numbers g of that place: what moves all species of one survey together;
- the rest, independent for each species and place.

It is a spatial factor model with a probit link (Thorson et al. 2015, Methods in Ecology and Evolution 6:627; Ovaskainen
and Abrego 2020, Joint Species Distribution Modelling), of residuals of a species model instead of a regression.
"""

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError
from upath import UPath

from sdm_ray.errors import InputError, few
from sdm_ray.stores.files import first_line

_ARRAYS, _ABOUT = "error_model.safetensors", "error_model.json"
Array = NDArray[np.float32]


@dataclass(frozen=True)
class ErrorModel:
    """Parameters of the errors of S species.

    Attributes:
        species: names, (S,).
        ranges_m: of the fields, metres; the last may be infinite.
        loadings: of the shared fields, (R, S, K).
        own: variances of the fields of a species alone, (R, S).
        site: loadings of what a place shares, (S, K).
    """

    species: tuple[str, ...]
    ranges_m: tuple[float, ...]
    loadings: Array
    own: Array
    site: Array

    @property
    def spatial_variance(self) -> Array:
        """Variance of w that lies in fields, below 1, (S,)."""
        return np.asarray((self.loadings**2).sum((0, 2)) + self.own.sum(0))

    @property
    def keys(self) -> NDArray[np.int64]:
        """A number for each species that follows from its name alone, beyond those of the factors, (S,)."""
        return np.array([(1 << 32) + zlib.crc32(name.encode()) for name in self.species])

    @property
    def site_variance(self) -> Array:
        """Variance of w that a place shares between species, (S,)."""
        return np.asarray((self.site**2).sum(1))

    def correlation(self, distance_m: float) -> Array:
        """Correlation of w between species at two places so far apart, (S, S); 0 is one place and the same survey."""
        total = np.zeros((len(self.species),) * 2, np.float32)
        for reach, loading, own in zip(self.ranges_m, self.loadings, self.own, strict=True):
            total += np.float32(np.exp(-distance_m / reach)) * (loading @ loading.T + np.diag(own))
        return total + self.site @ self.site.T if distance_m == 0 else total

    def select(self, species: list[str], place: str) -> "ErrorModel":
        """The model of some of the species, in their order.

        Args:
            species: names.
            place: of the artefact, for the message.

        Raises:
            InputError: it does not know one of them.
        """
        number = {name: each for each, name in enumerate(self.species)}
        if missing := [name for name in species if name not in number]:
            raise InputError(
                f"{place}: has no errors of {missing[0]!r} ({len(missing)} of {len(species)} species are missing);"
                f" found {few(list(self.species))}"
            )
        rows = [number[name] for name in species]
        return ErrorModel(tuple(species), self.ranges_m, self.loadings[:, rows], self.own[:, rows], self.site[rows])


def write_error_model(folder: UPath, model: ErrorModel, about: dict[str, Any]) -> None:
    """Write an error model with what is said about it."""
    arrays = {name: np.ascontiguousarray(getattr(model, name), np.float32) for name in ("loadings", "own", "site")}
    (folder / _ARRAYS).write_bytes(safetensors.numpy.save(arrays))
    ranges = ["inf" if np.isinf(each) else each for each in model.ranges_m]
    text = {"species": list(model.species), "ranges_m": ranges, **about}
    (folder / _ABOUT).write_text(json.dumps(text, indent=1, ensure_ascii=False))


def read_error_model(folder: UPath) -> tuple[ErrorModel, dict[str, Any]]:
    """An error model, and what is said about it.

    Raises:
        InputError: the folder holds none, or one that is damaged.
    """
    try:
        about = json.loads((folder / _ABOUT).read_text())
        arrays = safetensors.numpy.load((folder / _ARRAYS).read_bytes())
        return _checked(about, arrays), about
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no error model; expected an artefact of `sdm-ray errors`") from None
    except (ValueError, TypeError, KeyError, AttributeError, OSError, SafetensorError) as error:
        found = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{folder}: is damaged, or no error model ({found}); make or copy it again") from None


def _checked(about: dict[str, Any], arrays: dict[str, Array]) -> ErrorModel:
    """The model of arrays, whose species and ranges are taken out of what is said about it.

    Raises:
        KeyError, TypeError, ValueError: something is missing, or does not fit the rest.
    """
    ranges, species = tuple(float(each) for each in about.pop("ranges_m")), tuple(about.pop("species"))
    model = ErrorModel(species, ranges, **arrays)
    if not all(isinstance(each, str) for each in species) or not all(each > 0 for each in ranges):
        raise ValueError("expected names of species, and ranges above 0")
    factors = model.site.shape[-1:]
    shapes = [model.loadings.shape, model.own.shape, model.site.shape]
    size = len(ranges), len(species)
    if shapes != [(*size, *factors), size, (len(species), *factors)]:
        raise ValueError(f"arrays of shapes {shapes} do not fit {len(ranges)} ranges and {len(species)} species")
    return model


def summary(model: ErrorModel) -> dict[str, Any]:
    """Share of variance by range, mean over species, for people to read."""
    parts = ((model.loadings**2).sum(2) + model.own).mean(1)
    names = ["everywhere" if np.isinf(each) else f"{each / 1000:g} km" for each in model.ranges_m]
    shares = dict(zip(names, parts.tolist(), strict=True))
    return shares | {"one place": float(model.site_variance.mean())}
