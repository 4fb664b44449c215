"""How distributions and ranges are derived for reports by Article 17; imports nothing heavy."""

from pydantic import Field

from sdm_ray.config import Config


class Article17Config(Config):
    """`article17` of `export`: distribution and range of each species in the 10-km cells of the EEA reference grid."""

    threshold: float | str = Field(default=0.5)
    """Probability from which a species counts as present in a cell of the map, or the name of a threshold of the
    `evaluation`, such as `max_tss`."""
    evaluation: str | None = None
    """Artefact of `evaluate` whose named thresholds are taken."""
    min_cells: int = Field(default=1, ge=1)
    """Cells of the map with the species that make a 10-km cell part of its distribution."""
    gap_km: float = Field(default=40, ge=10, le=100)
    """Gap distance: two cells of the distribution nearer than this to each other are joined to one range. The reporting
    guidelines name 40 to 50 km for most groups, and 40 for sedentary ones such as plants."""
    clip: bool = True
    """Whether 10-km cells without any cell of the map (the sea, of a map of the land) are left out of ranges."""
    applicable_only: bool = False
    """Whether only cells inside the model's area of applicability count (`inside_aoa` of the map)."""
