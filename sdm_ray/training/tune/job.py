"""The job `tune`: a sweep over settings of `finetune` with Optuna and ASHA."""

import csv
import io
import logging
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from upath import UPath

from sdm_ray.errors import InputError, find_input_error
from sdm_ray.job import Job
from sdm_ray.progress import say
from sdm_ray.ray_runtime import connect
from sdm_ray.tracking import Tracker
from sdm_ray.training.engine.launch import POLLING, storage_of
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import Table, read_table
from sdm_ray.training.finetune.data_defaults import resolved
from sdm_ray.training.finetune.fold_checks import check_folds, varies
from sdm_ray.training.tune.config import Range, TuneConfig
from sdm_ray.training.tune.ranks import DRIVER_CPUS

if TYPE_CHECKING:
    from sdm_ray.models.distributed import Ranks
    from sdm_ray.training.engine.checkpointing import TuneCheckpointer
    from sdm_ray.training.engine.reporting import Reporter
    from sdm_ray.training.finetune.distillation import Forests

Shared = list[Any]
"""A reference to `Forests` in Ray's store; in a list, or it would be fetched for every trial."""


def run(config: TuneConfig, job: Job) -> dict[str, Any]:
    """Search, write `trials.csv`, `best.yaml` and a picture, and return the figures.

    Raises:
        InputError: the data cannot be used, the `validation` blocks of a fold hold a single class, or no trial ended.
    """
    base = config.trial({})
    table = read_table(base)
    base = resolved(base, table.holdout.blocks, len(table.labels))
    _check(config, table)
    goal = base.goal
    os.environ.setdefault(*POLLING)
    connect()
    storage = storage_of(job)
    import ray

    job.tracker.require_reachable(ray.nodes(), 1 if os.environ.get("RAY_ADDRESS") else 0)
    try:
        results = _tuner(config, base, _shared(config, table), job.tracker, storage, resume=job.resumed).fit()
    finally:
        job.tracker.close_children()
    rows = [_row(config, goal, number, each) for number, each in enumerate(results)]
    done = [row for row in rows if np.isfinite(row[goal])]
    if not done:
        mistakes = (find_input_error(each.error) for each in results if each.error)
        raise next((m for m in mistakes if m), None) or InputError(
            f"tune: none of {len(rows)} trials came to an end; Ray's logs tell why ({results[0].error})"
        )
    best = max(done, key=lambda row: row[goal])
    _write(config, job, rows, best)
    storage.fs.rm(storage.path, recursive=True)
    figures = {"trials": len(rows), "failed": len(rows) - len(done), f"best_{goal}": best[goal]}
    return {**figures, "epochs_run": int(sum(row["epochs"] for row in done))}


def _check(config: TuneConfig, table: Table) -> None:
    """Check that the folds can be learnt from, and that their `validation` blocks distinguish trials."""
    check_folds(table, config.folds, absences=table.background is None)
    for fold in config.folds:
        validation = table.split(fold).validation
        if not varies(table.labels, validation):
            found = "hold a single class" if len(validation) else "are none"
            raise InputError(
                f"finetune.blocks.validation: the `validation` surveys of fold {fold} {found}; expected a larger share"
            )


def _shared(config: TuneConfig, table: Table) -> Shared:
    """The forests of the base settings, which trials mostly share, grown once with all threads of the driver."""
    import ray

    from sdm_ray.training.finetune.distillation import Forests
    from sdm_ray.training.finetune.fits import FineTuning

    base, forests = config.trial({}), Forests(len(config.folds))
    fits = FineTuning(base, table, "", forests.grown)
    for fold in config.folds if fits.config.forest is not None else ():
        say(f"  grows the forest of fold {fold}")
        fits.fit(fold)
    return [ray.put(forests)]


def _tuner(
    config: TuneConfig, base: FinetuneConfig, shared: Shared, tracker: Tracker, storage: UPath, *, resume: bool
) -> Any:  # noqa: ANN401
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    from sdm_ray.training.tune.asha import Halving

    logging.getLogger("optuna").setLevel(logging.WARNING)
    trial = tune.with_resources(
        tune.with_parameters(_trial, config=config, shared=shared, tracker=tracker, storage=str(storage / "ranks")),
        {"cpu": config.cpus, "gpu": config.gpus} if config.ranks == 1 else {"cpu": DRIVER_CPUS},
    )
    if resume and tune.Tuner.can_restore(str(storage)):
        say("tune: continues an interrupted sweep")
        return tune.Tuner.restore(str(storage), trial, resume_unfinished=True, restart_errored=True)
    return tune.Tuner(
        trial,
        param_space={key: _domain(choices) for key, choices in config.space.items()},
        tune_config=tune.TuneConfig(
            metric=base.goal,
            mode="max",
            search_alg=OptunaSearch(seed=config.seed),
            scheduler=Halving(config.grace_epochs, base.optim.epochs or 1, config.reduction),
            num_samples=config.trials,
            max_concurrent_trials=config.concurrent,
            # A process takes longer to start than a small trial; that of several ranks ends with its trial, and so
            # do they.
            reuse_actors=config.ranks == 1,
        ),
        run_config=tune.RunConfig(
            name=storage.name,
            storage_path=str(storage.parent),
            verbose=0,
            callbacks=[_reporter(config.trials, base.goal)],
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            failure_config=tune.FailureConfig(max_failures=base.workers.retries),  # from a trial's last checkpoint
        ),
    )


def _domain(choices: Range | list[Any]) -> Any:  # noqa: ANN401 - a domain of Ray Tune
    from ray import tune

    if not isinstance(choices, Range):
        return tune.choice(choices)
    if choices.whole:
        low, high = int(choices.low), int(choices.high) + 1
        return tune.lograndint(low, high) if choices.log else tune.randint(low, high)
    return tune.loguniform(choices.low, choices.high) if choices.log else tune.uniform(choices.low, choices.high)


def _trial(chosen: dict[str, Any], config: TuneConfig, shared: Shared, tracker: Tracker, storage: str) -> None:
    """One trial: fine-tuning of the folds side by side, in one process or on several ranks."""
    import torch
    from ray import tune

    from sdm_ray.models.distributed import Ranks
    from sdm_ray.training.engine.checkpointing import TuneCheckpointer
    from sdm_ray.training.engine.reporting import Reporter
    from sdm_ray.training.tune import ranks as several

    epochs = partial(_epochs, config=config, chosen=chosen, shared=shared)
    with tracker.child(f"trial {tune.get_context().get_trial_id()}") as own:
        own.params(chosen)
        if config.ranks > 1:
            several.train(epochs, config, storage, own)
            return
        ranks = Ranks(device="cuda" if config.gpus and torch.cuda.is_available() else "cpu")
        checkpointer = TuneCheckpointer(config.trial(chosen).goal)
        for _ in epochs(ranks, checkpointer, Reporter(tracker=own)):
            checkpointer.report()  # ends this function by SystemExit where ASHA stops the trial


def _epochs(
    ranks: "Ranks", checkpointer: "TuneCheckpointer", reporter: "Reporter", *, config: TuneConfig,
    chosen: dict[str, Any], shared: Shared,
) -> Iterator[None]:  # fmt: skip
    """Train the folds of a trial side by side; yields after an epoch of each."""
    from sdm_ray.training.engine import trainer
    from sdm_ray.training.engine.execution import Execution
    from sdm_ray.training.finetune.fits import FineTuning

    settings = config.trial(chosen)
    study = FineTuning(settings, read_table(settings), "", _forests(shared[0]).grown, ranks)
    how = Execution.of(settings.workers)
    fits = [trainer.epochs(study.fit(fold), ranks, checkpointer, reporter, how) for fold in config.folds]
    while any([next(fit, None) for fit in fits]):  # a list: every fit has its epoch
        yield


@lru_cache(maxsize=1)
def _forests(shared: Any) -> "Forests":  # noqa: ANN401 - an object reference
    """Those of this process, in which one trial runs after the other: what was shared, and what a trial needs else."""
    import ray

    forests: Forests = ray.get(shared)
    return forests


def _reporter(total: int, goal: str) -> Any:  # noqa: ANN401 - a callback of Ray Tune
    """A callback that prints the score of each trial as it ends."""
    from ray import tune

    class Reporter(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ANN401
            done = len({each.trial_id for each in trials if each.status == "TERMINATED"} | {trial.trial_id})
            result = trial.last_result or {}
            shown = ", ".join(f"{key} {_short(value)}" for key, value in trial.config.items())
            score, epochs = result.get(goal, float("nan")), result.get("epoch", 0)
            say(f"  trial {done}/{total}: {goal} {score:.4f} after {epochs} epochs; {shown}")

    return Reporter()


def _row(config: TuneConfig, goal: str, number: int, result: Any) -> dict[str, Any]:  # noqa: ANN401 - of Ray Tune
    metrics = result.metrics or {}
    values = {key: metrics.get("config", {}).get(key) for key in config.space}
    score, epochs = metrics.get(goal, float("nan")), int(metrics.get("fit_epochs", 0))
    return {"trial": number, **values, goal: score, "epochs": epochs}


def _write(config: TuneConfig, job: Job, rows: list[dict[str, Any]], best: Mapping[str, Any]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    (job.output / "trials.csv").write_text(text.getvalue())
    settings = config.candidate({key: best[key] for key in config.space})
    (job.output / "best.yaml").write_text(_best_yaml(settings, best[settings.goal], unseen_blocks(config)))
    say(f"  {unseen_blocks(config)}")
    (job.output / "trials.png").write_bytes(_picture(config, rows, settings.goal))
    job.tracker.folder(job.output, "sweep")
    say(f"  best {settings.goal} {best[settings.goal]:.4f}: sdm-ray finetune {job.output / 'best.yaml'!s}")


def _best_yaml(settings: FinetuneConfig, score: float, unseen: str) -> str:
    values = settings.model_dump(mode="json", exclude={"tracking"}, exclude_defaults=True)
    workers = settings.workers.model_dump(mode="json", exclude_defaults=True)
    values["run_dir"] = str(UPath(settings.run_dir))
    values |= {"workers": workers} if workers else {}
    if settings.forest is None and "forest" in settings.model_fields_set:
        values["forest"] = None  # not the default of presence-only surveys
    header = f"# The best of a sweep: {settings.goal} {score:.4f} on the `validation` blocks.\n# {unseen}\n"
    return header + yaml.safe_dump(values, sort_keys=False)


def unseen_blocks(config: TuneConfig) -> str:
    """Which test blocks had no part in the search; a fold's trials learn from and are judged on those of the others."""
    if len(config.folds) > 1:
        return "The test blocks of every fold had a part in the search: score what it found on other data."
    return f"The test blocks of fold {config.folds[0]} alone had no part in the search; those of other folds had."


def _picture(config: TuneConfig, rows: list[dict[str, Any]], goal: str) -> bytes:
    """Parallel coordinates: one line a trial over its settings and its score."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    rows = sorted((row for row in rows if np.isfinite(row[goal])), key=lambda row: row[goal])
    axes = [*config.space, goal]
    columns = {key: _positions(config.space.get(key), [row[key] for row in rows]) for key in axes}
    figure = Figure(figsize=(max(1.8 * len(axes) + 1, 6), 4), layout="constrained")
    axis = figure.subplots()
    for i, row in enumerate(rows):
        colour = colormaps["viridis"](columns[goal][0][i])
        axis.plot([columns[key][0][i] for key in axes], color=colour, lw=2.5 if row is rows[-1] else 1.2)
    for place, key in enumerate(axes):
        axis.axvline(place, color="0.7", lw=0.8)
        for at, text in columns[key][1]:
            axis.text(place, at, f" {text}", fontsize=8, va="center")
    axis.set_xticks(range(len(axes)), axes)
    axis.set_yticks([])
    axis.set_title("Trials, from the worst (dark) to the best (light, thick)")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def _positions(choices: Range | list[Any] | None, values: list[Any]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights from 0 to 1 of values on their axis, and its labels."""
    if isinstance(choices, list):
        top = max(len(choices) - 1, 1)
        heights = [next(i for i, c in enumerate(choices) if c == value) / top for value in values]
        return np.array(heights), [(i / top, _short(c)) for i, c in enumerate(choices)]
    low, high = choices.ends() if choices else (min(values), max(values))
    ends = np.array([low, high], float)
    numbers = np.array(values, float)
    if isinstance(choices, Range) and choices.log:
        ends, numbers = np.log(ends), np.log(numbers)
    heights = (numbers - ends[0]) / max(ends[1] - ends[0], 1e-12)
    return heights, [(0.0, _short(low)), (1.0, _short(high))]


def _short(value: Any) -> str:  # noqa: ANN401 - any choice
    return f"{value:.3g}" if isinstance(value, float) else str(value)
