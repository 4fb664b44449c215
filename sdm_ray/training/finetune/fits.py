"""The fits of `finetune`: a species model for each fold, and one refitted on everything."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from upath import UPath

from sdm_ray.geo.grid import extent_of
from sdm_ray.model_io import Imagery, Photos, SpeciesFolder, describe_species
from sdm_ray.models import weight_transfer
from sdm_ray.models.calibration import Calibration, calibrations_of, means_of
from sdm_ray.models.config import SpeciesConfig
from sdm_ray.models.distributed import ALONE, Ranks
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores.weights import is_whole, load_weights, save_weights
from sdm_ray.streams.loader import Stream
from sdm_ray.streams.reader_tasks import ReaderTasks
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.training.engine.config import OptimConfig
from sdm_ray.training.engine.readers_choice import reader_tasks
from sdm_ray.training.engine.trainer import Fit, Trained
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import data_defaults, initial_weights, input_sets, pooling, scores
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fold_checks import varies
from sdm_ray.training.finetune.inputs import series_statistics
from sdm_ray.training.finetune.nearby import features_of
from sdm_ray.training.finetune.objective import BACKGROUND, SURVEYS, PresenceLoss, Setting, balanced
from sdm_ray.training.finetune.probe_and_forest import training_data


@dataclass(frozen=True)
class FineTuning:
    """All fits of a job; picklable.

    Attributes:
        config: the job's configuration.
        table: the surveys.
        output: the model folder.
        grow: how forests are grown; by default each anew (see `distillation.Forests`).
        ranks: this process among those that train together, which are sent the forests that rank 0 grows.
    """

    config: FinetuneConfig
    table: finetune_data.Table
    output: str
    grow: Callable[..., Any] | None = None
    ranks: Ranks = ALONE

    def __post_init__(self) -> None:
        config = data_defaults.resolved(self.config, self.table.holdout.blocks, len(self.table.labels))
        if self.table.probability_kind == "relative":
            config = data_defaults.for_presence_only(config, self.table.labels)
        object.__setattr__(self, "config", config)

    def __call__(self, ranks: Ranks) -> Iterator[Fit]:
        """The fits that are not finished: the folds, then the one of everything; rank 0 alone looks at the store."""
        fits = replace(self, ranks=ranks)
        for fold in self.folds if self.config.crossfit else []:
            if not ranks.first(partial(is_whole, self.folder(fold))):
                yield fits.fit(fold)
        if self.table.pooled:
            yield from fits._fits_of_chosen_epochs(ranks.first(self._metrics))
        if not ranks.first(partial(is_whole, self.folder(None))):
            yield fits.refit(ranks.first(self._metrics)) if self.config.crossfit else fits.fit(None)

    @property
    def folds(self) -> Sequence[int | None]:
        """Numbers of the folds that are held out; None for the one model where none is."""
        return range(self.table.holdout.blocks.folds) if self.config.crossfit else [None]

    def folder(self, fold: int | None) -> UPath:
        """Where a fit's model is kept."""
        return UPath(self.output) if fold is None else UPath(self.output) / "folds" / str(fold)

    @property
    def model_config(self) -> SpeciesConfig:
        """What the models are built from, with the covariates by name and the axes of the series."""
        found: dict[str, Any] = {"covariates": self.table.covariates.names, "series": self.table.series}
        found["image_distances"] = tuple(scale for scale, each in self.config.images.items() if each.within_m)
        if self.table.nearby is not None:
            found["nearby_images"] = self.table.nearby.sizes
        if self.config.probe is not None:
            found |= {"fusion": "none", "frequencies": 0}  # learnt ones, and nothing would learn them
        return self.config.model.model_copy(update=found)

    def fit(self, fold: int | None) -> Fit:
        """Train with one fold held out; with None, without the `validation` and `calibrate` blocks."""
        split = self.table.split(fold, keep_some=True)
        rows = self._scored(fold, split)
        chosen = varies(self.table.labels, rows) and not self.table.pooled
        return Fit(
            **self._common(fold, split),
            validate=lambda objective, ranks: self._validate(objective, rows, ranks),
            best_by=self.config.goal if chosen else None,
            patience=self.config.patience,
            save=lambda trained: self._save(trained, fold, split),
        )

    def _fits_of_chosen_epochs(self, metrics: list[dict[str, Any]]) -> Iterator[Fit]:
        """Of pooled folds those again that suit the other folds best after fewer epochs."""
        tried = [each["tried"] for each in metrics]
        for fold, own in enumerate(metrics):
            epochs = pooling.best_epoch([each for other, each in enumerate(tried) if other != fold], self.config.goal)
            if own["best_epoch"] != epochs:
                yield replace(self.fit(fold), name=f"fold-{fold}-again", stop_after=epochs)

    def _metrics(self) -> list[dict[str, Any]]:
        """What is known of each fold's model."""
        return [load_weights(self.folder(fold)).metrics for fold in self.folds]

    def _scored(self, fold: int | None, split: finetune_data.Split) -> np.ndarray:
        """The surveys that a fit is scored on, epoch by epoch; it learns from none of them."""
        return self.table.held_out(fold) if self.table.pooled and fold is not None else split.validation

    def fit_rows(self, fold: int, rows: np.ndarray) -> Fit:
        """Train on some surveys with one fold held out, for as long as configured; nothing is kept."""
        none = rows[:0]
        return Fit(
            **self._common(fold, finetune_data.Split(rows, none, none, self.table.split(fold).background)),
            validate=lambda objective, ranks: {},
            save=lambda trained: None,
        )

    def refit(self, metrics: list[dict[str, Any]]) -> Fit:
        """Train on everything, for as long as was best in the folds; calibrated as they were."""
        split = self.table.split(None)
        epochs = round(float(np.median([each["best_epoch"] for each in metrics])))
        if self.table.pooled:
            epochs = pooling.best_epoch([each["tried"] for each in metrics], self.config.goal)
        return Fit(
            **self._common(None, split),
            stop_after=max(1, epochs),
            validate=lambda objective, ranks: {},
            save=lambda trained: self._save(trained, None, split, self._calibrated_in_folds()),
        )

    def _calibrated_in_folds(self) -> dict[str, Calibration]:
        """The calibration of the model of everything, for each set of inputs."""
        folders = [self.folder(fold) for fold in self.folds]
        if self.table.pooled:
            return pooling.calibrate(self.config, self.table, folders)
        return means_of([calibrations_of(load_weights(each).state) for each in folders])

    @property
    def _optim(self) -> OptimConfig:
        """How the fits are trained, with the batch and epochs that follow the data."""
        return OptimConfig(**self.config.optim.model_dump())

    def _common(self, fold: int | None, split: finetune_data.Split) -> dict[str, Any]:
        config, optim = self.config, self._optim
        dataset, finish = training_data(config, self.table, split, self.grow, self.ranks)
        steps = optim.steps_per_epoch or max(1, round(len(split.train) / optim.batch))
        return {
            "name": "all" if fold is None else f"fold-{fold}",
            "seed": config.seed,
            "optim": optim,
            "steps_per_epoch": steps if config.probe is None else 0,
            "streams": {SURVEYS: self._stream(dataset), **self._background(split)},
            "objective": lambda: self._objective(fold, split),
            "finish": finish,
        }

    def _stream(self, dataset: SurveyDataset) -> Stream:
        config = self.config
        return Stream.of(dataset, config.seed, self._optim.batch, config.mixing, self._readers)

    @property
    def _readers(self) -> ReaderTasks:
        return reader_tasks(self.config.workers, len(self.config.image_places()))

    def _background(self, split: finetune_data.Split) -> dict[str, Stream]:
        if self.table.background is None or split.background is None:
            return {}
        return {BACKGROUND: self._stream(self.table.background.subset(split.background))}

    def _objective(self, fold: int | None, split: finetune_data.Split) -> PresenceLoss:
        model = SpeciesModel(self.model_config, len(self.table.species))
        present, absent = self.table.dataset.labels.counts(split.train)
        setting = Setting(self.config.presence, self._optim.batch)
        if self.config.presence.balance == "equal":
            setting = replace(setting, weight=balanced(present, absent, len(split.train)))
            present = absent = np.ones_like(present)
        share = present / np.maximum(present + absent, 1)
        if self.config.presence.background is not None:
            share /= 2  # background places together weigh as much as the surveys, and hold none
        model.set_prevalence(torch.from_numpy(share).float())
        covariates = self.table.covariates
        model.set_covariate_statistics(torch.tensor(covariates.mean), torch.tensor(covariates.std))
        series = {name: series_statistics(each, split.train) for name, each in self.table.dataset.series.items()}
        model.set_series_statistics(
            {name: (torch.from_numpy(m), torch.from_numpy(s)) for name, (m, s) in series.items()}
        )
        if self.config.encoder is not None:
            weight_transfer.load_encoder(model, initial_weights.encoder_of(self.config, fold)[0])
            if self.config.freeze:
                taken = {"location", *self.model_config.towers}
                for name, parameter in model.named_parameters():
                    parameter.requires_grad_(name.partition(".")[0] not in taken)
        if self.config.start is not None:
            begun = initial_weights.start_of(self.config, fold)[0]
            weight_transfer.start_from(model, begun.model, initial_weights.shared(begun.species, self.table.species))
        if (nearby := self.table.nearby) is not None:
            model.nearby_images.remember(torch.from_numpy(nearby.xy), features_of(self.config, nearby, fold))
        return PresenceLoss(model, setting)

    def _validate(self, objective: PresenceLoss, rows: np.ndarray, ranks: Ranks) -> dict[str, float]:
        if len(rows) == 0:
            return {}
        labels, classes = self.table.labels.dense(rows), self.config.model.output == "class"
        found: dict[str, float] = {}
        for prefix, dataset in {"": self.table.dataset, "map_": input_sets.of_map(self.table.dataset)}.items():
            if dataset is not None:
                logits = finetune_data.predict(objective.model, dataset, rows, ranks, self._readers)
                each = scores.scores_of(logits, labels, classes=classes)
                found |= {f"{prefix}{name}": value for name, value in each.items()}
        return found

    def _save(
        self,
        trained: Trained,
        fold: int | None,
        split: finetune_data.Split,
        calibrated: dict[str, Calibration] | None = None,
    ) -> None:
        model = trained.objective.model
        for name, each in (calibrated or input_sets.calibrations(self.config, self.table, model, split)).items():
            model.set_calibration(each, name)
        about = self.about(fold)
        best = trained.history[trained.best_epoch - 1] if trained.history else {}
        rows = self._scored(fold, split)
        finished = model.forest is not None or self.config.probe is not None
        metrics = {
            **{name: value for name, value in best.items() if name != "loss"},
            **(self._validate(trained.objective, rows, finetune_data.alone(model)) if finished else {}),
            **scores.prevalence_scores(self.table.labels, split.train, rows),
            "best_epoch": trained.best_epoch,
            "transductive": about.pretraining == "transductive",
            "surveys": {
                "train": len(split.train),
                "validation": len(split.validation),
                "calibrate": len(split.calibrate),
            },
            "history": trained.history,
        }
        if self.table.pooled and fold is not None:
            again = is_whole(self.folder(fold))  # for fewer epochs than were tried
            metrics["tried"] = load_weights(self.folder(fold)).metrics["tried"] if again else trained.history
        save_weights(self.folder(fold), model.state_dict(), describe_species(about), self.table.species, metrics)

    def about(self, fold: int | None) -> SpeciesFolder:
        """The description that is written to a model's folder."""
        images = self.table.dataset.images
        return SpeciesFolder(
            config=self.model_config,
            species=self.table.species,
            probability_kind=self.table.probability_kind,
            blocks=self.table.holdout.blocks,
            fold=fold,
            folds=len(self.folds) if self.config.crossfit and fold is None else 0,
            countries=self.config.countries is not None,
            satellite=None if images is None else Imagery(images.bands, images.size, images.season),
            photos={scale: Photos(each.size, each.within_m) for scale, each in self.config.images.items()},
            pretraining=initial_weights.pretraining_of(self.config, fold),
            region=extent_of(self.table.x, self.table.y),
            embeddings=self.table.covariates.embeddings,
        )
