"""The job `compare`: ways to train and baselines on the same surveys, with all labels and with few."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
import torch
from upath import UPath

from sdm_ray.baselines.base import build_baseline, feature_matrix
from sdm_ray.errors import InputError
from sdm_ray.evaluation import few_shot
from sdm_ray.geo.blocks import block_id
from sdm_ray.job import Job
from sdm_ray.models.distributed import Ranks
from sdm_ray.plots.html import render
from sdm_ray.progress import say, track
from sdm_ray.ray_runtime import connect
from sdm_ray.ray_tasks import run_tasks
from sdm_ray.stores.files import replacing
from sdm_ray.training.compare import occupancy, periods, transfer
from sdm_ray.training.compare.config import CompareConfig
from sdm_ray.training.compare.few_shot import FewLabels, commonest, draw
from sdm_ray.training.compare.tables import pretraining, read_tables, species_to_count, surveys_to_test
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.execution import Execution
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning

_PARTS = "parts"
Predicted = tuple[np.ndarray, np.ndarray | None]
"""What ranks the tested surveys, (n, S), and probabilities of presence, where there are any."""


@dataclass(frozen=True)
class Training:
    """One way to learn, trained once.

    Attributes:
        way: method or baseline.
        shots: occurrences of each species; None for all surveys.
        seed: of the draw, the weights and the order.
        fold: whose blocks are held out.
    """

    way: str
    shots: int | None
    seed: int
    fold: int

    @property
    def id(self) -> str:
        """Names its file."""
        safe = "".join(each if each.isalnum() else "-" for each in self.way)
        return f"{safe}.{'all' if self.shots is None else self.shots}.{self.seed}.{self.fold}"


def run(config: CompareConfig, job: Job) -> dict[str, Any]:
    """Train every way on every number of occurrences; writes metrics.json, a table, curves and compare.html.

    With `years_until` periods are held out, and `periods.csv` and `periods_species.csv` are written as well. What an
    interrupted job has finished is kept.

    Raises:
        InputError: the data or an encoder cannot be used, no species counts, or a training failed.
    """
    base, tables = read_tables(config)
    if config.years_until is not None:
        path = config.path(config.candidate({}).surveys)
        base = periods.by_period(base, path, config.years_until)
        tables = {label: periods.in_periods_of(base, each) for label, each in tables.items()}
    begun_from = pretraining(config, tables)
    tested = surveys_to_test(config, base, tables)
    counted = species_to_count(config, base, tested)
    trainings = [
        Training(way, shots, seed, fold)
        for shots in config.shots
        for way in (*config.methods, *config.baselines)
        for seed in config.seeds
        for fold in config.folds
    ]
    if len({training.id for training in trainings}) < len(trainings):
        raise InputError("methods, baselines: two labels differ only in characters that a file's name cannot have")
    parts = job.output / _PARTS
    parts.mkdir(parents=True, exist_ok=True)
    left = [training for training in trainings if not (parts / f"{training.id}.npy").exists()]
    if len(left) < len(trainings):
        say(f"compare: {len(trainings) - len(left)} of {len(trainings)} trainings were finished before")
    connect()
    shared = [ray.put(Shared(config, base, tables, tested, counted, str(parts)))]
    for training, _, problem in track(run_tasks(_train, shared, left, config.compute), len(left), "trainings"):
        if problem is not None:
            raise InputError(f"{training.id} failed: {problem}; what is finished is kept, run the job again")
    figures = _figures(config, trainings, job)
    figures |= {"species_counted": int(counted.any(axis=0).sum()), "probability_kind": base.probability_kind}
    figures |= {"surveys_tested": sum(map(len, tested)), "tested_with": config.tested_with}
    figures["pretraining"] = begun_from
    if isinstance(base, periods.PeriodTable):
        left_by = {
            (way, fold): [parts / f"{Training(way, None, seed, fold).id}.species" for seed in config.seeds]
            for way in (*config.methods, *config.baselines)
            for fold in config.folds
        }
        figures["periods"] = periods.write(job.output, base, left_by, dict(zip(config.folds, counted, strict=True)))
    _write(job, figures)
    for file in parts.iterdir():
        file.unlink()
    parts.rmdir()
    return {
        f"{metric}/{way.replace(', ', '_').replace(' ', '_')}/{k}": each["value"]
        for metric, ways in figures["values"].items()
        for way, values in ways.items()
        for k, each in values.items()
    }


@dataclass(frozen=True)
class Shared:
    """What every training needs.

    Attributes:
        config: of the job.
        base: surveys with the covariates of `config.finetune`, which baselines learn from.
        tables: method -> surveys with the covariates of the method.
        tested: numbers of the surveys that are tested in each of `config.folds`.
        counted: species that count in each of `config.folds`, (folds, S).
        parts: folder of what the trainings leave.
    """

    config: CompareConfig
    base: finetune_data.Table
    tables: dict[str, finetune_data.Table]
    tested: list[np.ndarray]
    counted: np.ndarray
    parts: str


def _train(shared: Sequence[Any], training: Training) -> None:
    """One training on the cluster; leaves its scores in a file."""
    own: Shared = ray.get(shared[0])
    torch.set_num_threads(max(1, int(own.config.compute.cpus)))
    table = own.tables.get(training.way, own.base)
    number = own.config.folds.index(training.fold)
    test = own.tested[number]
    predict = _method if training.way in own.tables else _baseline
    predictions, probabilities = predict(own, training, test)
    task = few_shot.TestSet(
        table.labels.dense(test),
        block_id(table.x[test], table.y[test], table.holdout.blocks),
        own.counted[number],
    )
    scores = few_shot.macro_scores(task, predictions, own.config.resamples, own.config.seed)
    if isinstance(table, periods.PeriodTable):
        figures = periods.species_figures(task.labels, predictions, probabilities)
        _save(UPath(own.parts) / f"{training.id}.species", figures)
    _save(UPath(own.parts) / f"{training.id}.npy", scores)


def _save(place: UPath, values: np.ndarray) -> None:
    with replacing(place, shared=True) as draft, draft.open("wb") as file:
        np.save(file, values)


def _method(own: Shared, training: Training, test: np.ndarray) -> Predicted:
    """Logits (n, S) of the test surveys by a species model, and with all labels probabilities."""
    config, table = own.config, own.tables[training.way]
    settings = config.method(training.way).model_copy(update={"seed": training.seed})
    if training.shots is not None:
        settings = settings.model_copy(update={"forest": None})  # a forest of few occurrences adds nothing
    table = drawn_by(table, settings)
    ranks = Ranks(device="cuda" if config.compute.gpus and torch.cuda.is_available() else "cpu")
    fits, how = FineTuning(settings, table, ""), Execution.of(settings.workers)
    if training.shots is None:
        model = trainer.run(fits.fit(training.fold), ranks, NoCheckpointer(), Reporter(), how).objective.model
        logits = finetune_data.predict(model, table.dataset, test, ranks)
        return logits, occupancy.of_method(fits, model, logits, table.split(training.fold).train)
    if training.way in config.transfer:
        z = _embedding(own, training, fits, ranks)
        logits = transfer.predict(z, table, few_labels(own, training), test)
    else:
        labels, rows = few_labels(own, training)
        presence = settings.presence.model_copy(update={"balance": "equal", "loss": "bce", "background": None})
        settings = settings.model_copy(update={"optim": config.few.optim, "presence": presence})
        known = replace(table, dataset=replace(table.dataset, labels=labels), background=None)
        fit = FineTuning(settings, known, "").fit_rows(training.fold, rows)
        model = trainer.run(fit, ranks, NoCheckpointer(), Reporter(), how).objective.model
        logits = finetune_data.predict(model, table.dataset, test, ranks)
    return logits, None


def _embedding(own: Shared, training: Training, fits: FineTuning, ranks: Ranks) -> np.ndarray:
    """The embedding learnt from common species; the same for every number of occurrences."""
    place = UPath(own.parts) / f"{replace(training, shots=None).id}.embedding"
    if place.exists():
        with place.open("rb") as file:
            stored: np.ndarray = np.load(file)
            return stored
    z = transfer.embedding(fits, training.fold, commonest(fits.table.labels, own.config.few.n_common_species), ranks)
    _save(place, z)
    return z


def _baseline(own: Shared, training: Training, test: np.ndarray) -> Predicted:
    """What a baseline predicts for the test surveys, (n, S), and with all labels probabilities."""
    config, table = own.config, own.base
    chosen = config.baselines[training.way]
    lonlat = table.dataset.lonlat
    x = feature_matrix(chosen.features, lonlat[:, 0], lonlat[:, 1], table.dataset.covariates_or_nan)
    split = table.split(training.fold)
    rows, validation = split.train, split.validation
    if training.shots is not None:
        known, rows = few_labels(own, training)
        labels, validation = known.dense(rows), rows[:0]
    else:
        rows = np.concatenate([rows, validation])
        labels = table.labels.dense(rows)
    baseline = build_baseline(chosen, training.seed, max(1, int(config.compute.cpus)), table.block_of(rows))
    numbers = np.arange(len(rows))
    baseline.fit(x[rows], labels, numbers[: len(rows) - len(validation)], numbers[len(rows) - len(validation) :])
    found = baseline.predict(x[test])
    return found, None if training.shots is not None else occupancy.of_baseline(
        chosen, found, table.labels, split.train
    )


def drawn_by(table: finetune_data.Table, settings: FinetuneConfig) -> finetune_data.Table:
    """A method's surveys with everything drawn by the seed of a training: also which images a placebo exchanges.

    Which surveys count where they are thinned stays drawn by the seed of `finetune`, the same for every way.
    """
    dataset, seed = table.dataset, settings.seed
    if seed != dataset.seed:  # exchanged by that one already
        placebos = {str(scale) for scale, each in settings.images.items() if each.shuffled}
        shards = [each.shuffled(seed) if each.scale in placebos else each for each in dataset.shards]
        dataset = replace(dataset, seed=seed, shards=shards)
    return replace(table, dataset=dataset)


def few_labels(own: Shared, training: Training) -> tuple[FewLabels, np.ndarray]:
    """What is known of the training surveys of a fold, drawn from those of `finetune`: the same for every way."""
    assert training.shots is not None
    rows = own.base.split(training.fold).train
    return draw(own.base.labels, rows, training.shots, own.config.few.background, training.seed)


def _figures(config: CompareConfig, trainings: Sequence[Training], job: Job) -> dict[str, Any]:
    """Means, intervals and differences of what the trainings left."""
    scores = {}
    for training in trainings:
        with (job.output / _PARTS / f"{training.id}.npy").open("rb") as file:
            scores[training] = np.load(file)
    found = {
        way: {
            name: np.stack([[scores[Training(way, k, seed, fold)] for fold in config.folds] for seed in config.seeds])
            for k, name in zip(config.shots, few_shot.names_of(config.shots), strict=True)
        }
        for way in (*config.methods, *config.baselines)
    }
    return {
        "seeds": len(config.seeds),
        "resamples": config.resamples,
        "background": config.few.background,
        "n_common_species": config.few.n_common_species,
        "transfer": list(config.transfer),
        **few_shot.figures_of(found, config.seed),
    }


def _write(job: Job, figures: dict[str, Any]) -> None:
    (job.output / "metrics.json").write_text(json.dumps(figures, indent=1))
    (job.output / "few.csv").write_text(few_shot.table(figures).to_csv(index=False))
    for picture in few_shot.write_pictures(job.output, figures):
        job.tracker.picture(picture)
    line = few_shot.headline(figures)
    page = render("Comparison", line, [few_shot.section(job.output, figures)])
    (job.output / "compare.html").write_text(page)
    say(f"compare: {line}")
