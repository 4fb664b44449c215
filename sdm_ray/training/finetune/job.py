"""The job `finetune`: a species model for each fold, and one refitted on everything."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from sdm_ray.job import Job
from sdm_ray.progress import say
from sdm_ray.stores.weights import load_weights
from sdm_ray.training.engine.launch import launch
from sdm_ray.training.engine.readers_choice import with_readers
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import read_table
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.fold_checks import check_folds
from sdm_ray.training.finetune.weight_checks import check_weights

_CHANCE, _LITTLE = 0.55, 0.65  # AUC of a network that knows nothing, and of one that may have learnt little


def run(config: FinetuneConfig, job: Job) -> dict[str, Any]:
    """Train, cross-fitted or not, and return the figures.

    Raises:
        InputError: surveys, covariates, cube or encoder cannot be used, or a fold holds a single class.
    """
    config = with_readers(config, config.workers, config.image_places())
    fits = FineTuning(config, read_table(config), str(job.output))
    check_weights(config, fits.model_config, fits.table)
    check_folds(fits.table, fits.folds, absences=config.presence.background is None)
    launch(fits, job, config.workers)
    return _figures(fits, job)


def _figures(fits: FineTuning, job: Job) -> dict[str, Any]:
    """Figures of the job, means over the folds; registers the model folder with the tracker."""
    config, found = fits.config, [load_weights(fits.folder(fold)).metrics for fold in fits.folds]
    columns = {"lon": True, "lat": True} | dict.fromkeys(fits.table.covariates.names, False)
    job.tracker.model(fits.folder(None), "sdm_ray.predictor", columns, job.output.name)
    kind = "held_out" if fits.table.pooled else "validation"
    figures = {
        f"{kind}_{name}": float(np.mean([each[name] for each in found]))
        for name in ("auc", "bce", "accuracy", "map_auc")
        if all(name in each for each in found)
    }
    figures |= {"epochs": load_weights(fits.folder(None)).metrics["best_epoch"], "fold_models": len(found)}
    if config.encoder is not None or config.start is not None:
        figures["transductive"] = any(each["transductive"] for each in found)
    where = "the held-out blocks of each fold" if fits.table.pooled else "the `validation` blocks"
    say(f"  on {where}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    if config.model.output == "species" and config.probe is None:
        for line in not_learnt(fits.folds, found):
            say(f"  {line}")
    return figures


def not_learnt(folds: Iterable[int | None], metrics: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each fold whose network, without a forest, is no better than the prevalence of each species alone.

    Args:
        folds: numbers of the folds.
        metrics: the content of `metrics.json` of each fold's model.
    """
    for fold, each in zip(folds, metrics, strict=True):
        best = each["history"][each["best_epoch"] - 1] if each["history"] else {}
        if "auc" not in best or "prevalence_bce" not in each:
            continue
        worse = best["bce"] >= each["prevalence_bce"]
        if best["auc"] < _CHANCE or (worse and best["auc"] < _LITTLE):
            yield (
                f"{'the model' if fold is None else f'fold {fold}'}: the network did not learn: AUC {best['auc']:.3f},"
                f" cross-entropy {best['bce']:.4g}, and {each['prevalence_bce']:.4g} of prevalence alone; expected a"
                " smaller `optim.batch`, more `optim.epochs` or another `optim.lr`"
            )
