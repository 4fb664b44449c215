"""Configuration that all training shares. Light: imports neither torch nor Ray."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from sdm_ray.config import Config


class OptimConfig(Config):
    """AdamW with a linear warm-up and a cosine to zero."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward pass; weights and the contrastive losses stay in float32."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of a moving average of the weights, which is then evaluated and saved in their place."""

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
    """By default one epoch of the rows (of the largest scale)."""


class WorkersConfig(Config):
    """How training is distributed.

    The result does not depend on it, up to rounding, unless the model has dropout, which ranks draw independently.
    """

    count: int = Field(1, ge=0)
    """Ranks of Ray Train; 0 trains in the driver's own process, which starts some 15 seconds sooner."""
    cpus: float = Field(1.0, gt=0)
    gpus: float = Field(0.0, ge=0)
    threads: int = Field(0, ge=0)
    """Torch threads of a rank; 0: as many as its CPUs. More than those where the streams leave cores idle."""
    checkpoint_s: float = Field(60.0, ge=0)
    """Seconds between checkpoints, from which an interrupted run continues."""
    retries: int = Field(2, ge=0)
    """How often a run continues by itself after a lost worker; counted anew since each checkpoint that is reached. Of a
    sweep: how often each trial does, in all."""
    collective_timeout_s: float = Field(1800.0, gt=0)
    """Seconds that ranks wait for each other in one step, or for rank 0 while it grows a forest, calibrates and
    writes a model."""
    least: PositiveInt | None = None
    """Least number of ranks to go on with while the cluster has fewer than `count` (elastic training)."""
    compile: bool = False
    """Whether to use torch.compile: faster steps after a longer start."""
    accumulate: PositiveInt = 1
    """Parts that the rows of a rank's step are computed in, one after the other, where all at once need too much
    memory of the GPU; for `finetune`, whose losses are means over rows."""
    tf32: bool = False
    """On a GPU: products of float32 in TF32, faster and with 10 bits of mantissa instead of 23."""
    channels_last: bool = False
    """Images and weights of convolutions channels last, which suits GPUs with `optim.precision: bfloat16`."""
    check_steps: PositiveInt | None = None
    """Steps between two looks at the losses and at the clock for checkpoints, for which a GPU's process waits; by
    default 1 on a CPU and 16 on a GPU."""
    profile_steps: int = Field(0, ge=0)
    """Steps of rank 0 of which a trace (`profiles/<fit>.json`, in Chrome's format) is logged in MLflow; 0: none."""
    readers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Ray Data tasks of a rank that read windows and photos in parallel, anywhere in the cluster; 0: threads of the
    rank itself read them, which is faster where its machine has idle cores. One task decodes on every core of its
    machine. `auto`: tasks where images lie at a URL, where there are nodes without a GPU beside ranks that have one,
    or where ranks have fewer cores than streams of images and others are idle; what was chosen is printed."""
    reader_cpus: float = Field(0.25, gt=0)
    """CPUs that Ray sets aside for one of `readers`."""
    reader_reserve_mb: float = Field(0, ge=0)
    """Megabytes of memory that Ray sets aside for one of `readers`."""
    reader_labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes that `readers` run on, so that they leave the ranks' nodes alone: `ray.io/node-group: data`
    is a group of KubeRay's. Empty: any node with CPUs to spare."""

    @property
    def reads_by_tasks(self) -> bool:
        """Whether there are `readers`; not where they were not chosen, as for training without ranks of its own."""
        return self.readers not in ("auto", 0)

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.least is not None and self.least >= self.count:
            raise ValueError(f"least: {self.least}, expected less than count, {self.count}")
        return self
