"""What training jobs are configured by. Light: imports neither torch nor Ray."""

from pydantic import Field, PositiveInt

from sdm_ray.config import Config


class OptimConfig(Config):
    """AdamW with a linear warm-up and a cosine to zero."""

    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    epochs: PositiveInt = 10
    batch: PositiveInt = 256
    """Rows of a step over all ranks together."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps with a rising learning rate."""
    clip: float | None = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    steps_per_epoch: PositiveInt | None = None
    """By default one pass over the rows (of the largest scale)."""


class WorkersConfig(Config):
    """How training is spread out; what comes out does not depend on it (up to rounding)."""

    count: PositiveInt = 1
    cpus: float = Field(1.0, gt=0)
    gpus: float = Field(0.0, ge=0)
    checkpoint_s: float = Field(60.0, ge=0)
    """Seconds between checkpoints, which are what an interrupted run continues from."""
    retries: int = Field(2, ge=0)
    """How often a run continues by itself after a lost worker."""
