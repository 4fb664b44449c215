"""How presences and absences enter the loss. Light: imports neither torch nor Ray."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from sdm_ray.config import Config
from sdm_ray.input_paths import InputPath


class PresenceConfig(Config):
    """How presences and absences enter the loss."""

    loss: Literal["bce", "assume_negative", "max_entropy", "asymmetric"] = "bce"
    """`bce`: binary cross-entropy, absences as they stand. Of presence-only records these are target-group absences: a
    species counts as absent where others were recorded, so that the bias of the recording cancels out (Phillips et al.
    2009); with a forest, this ranks places best. `asymmetric`: easy absences count little. For presence-only records
    also `assume_negative`, what was not recorded is absent there and at background places (SINR), and `max_entropy`,
    each species' distribution over sites."""
    background: Literal["uniform", "target_group", "table"] | None = None
    """Places that stand for all places, for the presence-only losses: `uniform` over the covariates' cells; those of
    the surveys of any species, which share their sampling bias (`target_group`); or those of a `table`."""
    places: PositiveInt = 50_000
    """Most uniform background places."""
    table: InputPath | None = None
    """Table with columns `lon` and `lat` (CSV or Parquet), for the background `table`."""
    region: InputPath | None = None
    """Polygons (GeoPackage, GeoJSON, shapefile or WKT) that uniform places are drawn within."""
    bias: str | None = None
    """Layer of the covariate store by which uniform places are weighted, such as the sampling effort; the model need
    not use it (`model.covariates`)."""
    balance: Literal["none", "equal"] = "none"
    """`equal`: a species' presences together weigh as much as its absences; of `bce`."""
    positive_weight: PositiveFloat = 1.0
    """Of a presence, of `assume_negative`; SINR takes 2048 for 47,375 species."""
    thin_m: float | None = Field(None, gt=0)
    """Side of squares, metres: of the surveys in a square that hold the same species, one is trained on."""

    @model_validator(mode="after")
    def _fits_the_loss(self) -> Self:
        needed = self.loss in ("assume_negative", "max_entropy")
        if needed != (self.background is not None):
            found = "none" if self.background is None else self.background
            raise ValueError(
                f"background: {found}, with the loss {self.loss}; only assume_negative and max_entropy take one"
            )
        if (self.table is not None) != (self.background == "table"):
            raise ValueError("table: names the places of `background: table`; expected both or neither")
        if (self.region or self.bias) and self.background != "uniform":
            raise ValueError("region, bias: choose uniform places; expected `background: uniform`")
        if self.balance != "none" and self.loss != "bce":
            raise ValueError(f"balance: {self.balance} needs the loss bce, found {self.loss}")
        return self
