"""The table of jobs, and how a folder of job configurations is run.

`sdm-ray --help` imports this module: everything heavier than the standard library is imported where it is used.
"""

import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdm_ray.errors import InputError

if TYPE_CHECKING:
    from sdm_ray.config import JobConfig


@dataclass(frozen=True)
class Entry:
    """One job; its configuration class and its function are named, so that neither is imported before it is needed.

    Attributes:
        config: `module:class` of the configuration.
        run: `module:function` that does the work.
        kind: kind of the artefact that it writes; empty for `prepare`, which writes several.
        help: one line for `sdm-ray --help`.
    """

    config: str
    run: str
    kind: str
    help: str


JOBS = {
    "prepare": Entry(
        "sdm_ray.sources.config:PrepareConfig",
        "sdm_ray.sources.prepare:run",
        "",
        "Build the tile cube, image shards, covariates and surveys from data sets.",
    ),
    "pretrain": Entry(
        "sdm_ray.training.pretrain.config:PretrainConfig",
        "sdm_ray.training.pretrain.job:run",
        "encoder",
        "Pretrain encoders: coordinates aligned with images of every scale.",
    ),
    "tune": Entry(
        "sdm_ray.training.tune.config:TuneConfig",
        "sdm_ray.training.tune.job:run",
        "sweep",
        "Search the settings of `finetune` with Optuna and ASHA; writes best.yaml.",
    ),
    "finetune": Entry(
        "sdm_ray.training.finetune.config:FinetuneConfig",
        "sdm_ray.training.finetune.job:run",
        "model",
        "Train the species model on surveys.",
    ),
    "evaluate": Entry(
        "sdm_ray.evaluation.config:EvaluateConfig",
        "sdm_ray.evaluation.job:run",
        "evaluation",
        "Score cross-fitted maps on held-out surveys, with baselines in the same folds.",
    ),
    "compare": Entry(
        "sdm_ray.training.compare.config:CompareConfig",
        "sdm_ray.training.compare.job:run",
        "comparison",
        "Compare training methods and baselines, with all labels and with few.",
    ),
    "embed": Entry(
        "sdm_ray.mapping.config:EmbedConfig",
        "sdm_ray.mapping.embed:run",
        "embeddings",
        "Write the model's embedding of every cell; any species is mapped from it without imagery.",
    ),
    "map": Entry(
        "sdm_ray.mapping.config:MapConfig",
        "sdm_ray.mapping.map:run",
        "map",
        "Write the probability of every species in every cell to Zarr.",
    ),
    "export": Entry(
        "sdm_ray.mapping.config:ExportConfig",
        "sdm_ray.mapping.export:run",
        "export",
        "Export a map as Cloud Optimized GeoTIFFs and PNGs, with a STAC item.",
    ),
    "predict": Entry(
        "sdm_ray.mapping.config:PredictConfig",
        "sdm_ray.mapping.predict_job:run",
        "predictions",
        "Predict a table of places: probabilities and sets of species.",
    ),
    "sample": Entry(
        "sdm_ray.survey_design.config:SampleConfig",
        "sdm_ray.survey_design.job:run",
        "sample",
        "Choose where to survey next, under a budget.",
    ),
    "document": Entry(
        "sdm_ray.documentation.config:DocumentConfig",
        "sdm_ray.documentation.job:run",
        "documentation",
        "Write a map's ODMAP table and model card, with its evaluation.",
    ),
    "errors": Entry(
        "sdm_ray.indicators.errors_config:ErrorsConfig",
        "sdm_ray.indicators.errors_job:run",
        "errors",
        "Fit how far a map may be wrong, over places and species together, for intervals of any sum.",
    ),
    "indicators": Entry(
        "sdm_ray.indicators.config:IndicatorsConfig",
        "sdm_ray.indicators.job:run",
        "indicators",
        "Derive richness, ranges and their uncertainty from a map.",
    ),
    "impact": Entry(
        "sdm_ray.impact.config:ImpactConfig",
        "sdm_ray.impact.job:run",
        "impact",
        "Estimate what a treatment of parcels or places changed, against matched controls.",
    ),
    "change": Entry(
        "sdm_ray.impact.change.config:ChangeConfig",
        "sdm_ray.impact.change.job:run",
        "change",
        "Compare maps of several years, seasons or scenarios: gains, losses and turnover, with intervals.",
    ),
}


def config_class(name: str) -> "type[JobConfig]":
    """The configuration class of a job."""
    return _named(JOBS[name].config)


def run_job(name: str, file: Path, overrides: list[str]) -> None:
    """Run one job from its YAML file.

    Raises:
        InputError: the configuration or an input cannot be used.
    """
    from sdm_ray.config import load

    config = load(file, config_class(name), overrides)
    _execute(name, config)


def run_folder(folder: Path, out: str | None = None, *, overwrite: bool = False) -> None:
    """Run every job of a folder, each after those whose artefacts it reads, then write the report.

    A file is named after its job, `map.yaml` or `map-crossfit.yaml`. Every configuration is read before the first
    job starts. A map that was made from other inputs or settings is replaced only with `overwrite`.

    Args:
        folder: of the YAML files.
        out: run folder or URL; by default that of the configurations.
        overwrite: whether maps may be replaced.

    Raises:
        InputError: the folder holds no job, a configuration is wrong, or two jobs need each other.
    """
    from upath import UPath

    from sdm_ray.config import load
    from sdm_ray.progress import say

    start = time.monotonic()
    found = _find(folder)
    configs = {stem: load(file, config_class(job), run_dir=out) for stem, (job, file) in found.items()}
    if overwrite:
        configs = {stem: _overwriting(config) for stem, config in configs.items()}
    order = in_order(configs)
    for number, stem in enumerate(order, 1):
        say(f"[{number}/{len(order)}] {stem}")
        _execute(found[stem][0], configs[stem])
    from sdm_ray.evaluation.report import write_report

    report = write_report(UPath(configs[order[0]].run_dir))
    say(f"{report.summary}; {time.monotonic() - start:.0f} s; report {report.path}")


def shipped_configs() -> Path:
    """The folder `configs/`: inside an installed package, or at the root of a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def _find(folder: Path) -> dict[str, tuple[str, Path]]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of configurations")
    found: dict[str, tuple[str, Path]] = {}
    for job in JOBS:
        for file in sorted(folder.glob("*.yaml")):
            if file.stem.partition("-")[0] == job:
                found[file.stem] = (job, file)
    if not found:
        raise InputError(f"{folder}: holds no job configuration ({', '.join(f'{job}.yaml' for job in JOBS)})")
    return found


def _overwriting(config: "JobConfig") -> "JobConfig":
    return config.model_copy(update={"overwrite": True}) if hasattr(config, "overwrite") else config


def in_order(configs: "dict[str, JobConfig]") -> list[str]:
    """Names of the files in the order of JOBS, each moved after the jobs whose artefacts it reads."""
    writer = {name: stem for stem, config in configs.items() for name in config.writes()}
    order: list[str] = []

    def place(stem: str, above: tuple[str, ...]) -> None:
        if stem in above:
            raise InputError(f"{stem}.yaml and {above[-1]}.yaml: each reads what the other writes")
        if stem in order:
            return
        for name in configs[stem].reads():
            if name in writer:
                place(writer[name], (*above, stem))
        order.append(stem)

    for stem in configs:
        place(stem, ())
    return order


def _execute(name: str, config: "JobConfig") -> None:
    from sdm_ray import job, tracking

    entry = JOBS[name]
    if name == "prepare":  # it seals each artefact of its list alone
        with tracking.start(config, name) as tracker:
            _named(entry.run)(config, tracker)
    elif getattr(config, "dry_run", False):  # before anything is written, an older artefact's seal included
        _named(entry.run.replace(":run", ":dry_run"))(config)
    else:
        job.execute(name, config, lambda config, task: _named(entry.run)(config, task), entry.kind)


def _named(place: str) -> Any:  # noqa: ANN401 - a class or a function
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
