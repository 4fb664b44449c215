"""The data of configs/europe-trees, prepared once for whatever is measured on it."""

from pathlib import Path

from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import load
from sdm_ray.sources import prepare
from sdm_ray.sources.config import PrepareConfig

CONFIGS = Path(__file__).parents[2] / "configs"


def prepared(runs: UPath, *changes: str) -> list[str]:
    """Prepare what is missing in a run folder, with changes such as `shards=[]`.

    Returns:
        The overrides that make a configuration use it.
    """
    runs.mkdir(parents=True, exist_ok=True)
    overrides = [f"run_dir={runs}", f"tracking.uri=sqlite:///{runs}/mlflow.db"]
    config = load(CONFIGS / "europe-trees" / "prepare.yaml", PrepareConfig, [*overrides, *changes])
    with tracking.start(config, "prepare") as tracker:
        prepare.run(config, tracker)
    return overrides
