"""The job `finetune`: a species model for each fold, and one refitted on everything."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import extent_of
from sdm_ray.job import Job
from sdm_ray.model_io import (
    Imagery,
    LoadedModel,
    Photos,
    Pretraining,
    SpeciesFolder,
    describe_species,
    load_encoder,
    load_species_model,
)
from sdm_ray.models.calibration import Calibration, mean_of
from sdm_ray.models.config import SpeciesConfig
from sdm_ray.models.distributed import Ranks
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.progress import say
from sdm_ray.stores.weights import is_whole, load_weights, save_weights
from sdm_ray.streams.loader import Stream
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.training.engine.launch import launch
from sdm_ray.training.engine.trainer import Fit, Trained
from sdm_ray.training.finetune import calibration
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fold_checks import check_folds, varies
from sdm_ray.training.finetune.inputs import series_statistics
from sdm_ray.training.finetune.objective import BACKGROUND, SURVEYS, PresenceLoss, Setting, balanced
from sdm_ray.training.finetune.probe_and_forest import frozen_location_features


def run(config: FinetuneConfig, job: Job) -> dict[str, Any]:
    """Train, cross-fitted or not, and return the figures.

    Raises:
        InputError: surveys, covariates, cube or encoder cannot be used, or a fold holds a single class.
    """
    study = Study(config, finetune_data.read_table(config), str(job.output))
    study.check_start()
    check_folds(study.table, study.folds, absences=config.presence.background is None)
    launch(study, job, config.workers)
    return study.figures(job)


@dataclass(frozen=True)
class Study:
    """All fits of a job; picklable.

    Attributes:
        config: the job's configuration.
        table: the surveys.
        output: the model folder.
        grow: how forests are grown; by default each anew (see `forest.Forests`).
    """

    config: FinetuneConfig
    table: finetune_data.Table
    output: str
    grow: Callable[..., Any] | None = None

    def __call__(self) -> Iterator[Fit]:
        """The fits that are not finished: the folds, then the one of everything."""
        for fold in self.folds if self.config.crossfit else []:
            if not is_whole(self.folder(fold)):
                yield self.fit(fold)
        if not is_whole(self.folder(None)):
            yield self.refit() if self.config.crossfit else self.fit(None)

    @property
    def folds(self) -> Sequence[int | None]:
        """Numbers of the folds that are held out; None for the one model where none is."""
        return range(self.config.blocks.folds) if self.config.crossfit else [None]

    def folder(self, fold: int | None) -> UPath:
        """Where a fit's model is kept."""
        return UPath(self.output) if fold is None else UPath(self.output) / "folds" / str(fold)

    @property
    def model_config(self) -> SpeciesConfig:
        """What the models are built from, with the covariates by name and the axes of the series."""
        found: dict[str, Any] = {"covariates": self.table.covariates.names, "series": self.table.series}
        if self.config.probe is not None:
            found |= {"fusion": "none", "frequencies": 0}  # learnt ones, and nothing would learn them
        return self.config.model.model_copy(update=found)

    def check_start(self) -> None:
        """Find out on the driver whether the encoder, or the model to start from, fits.

        Raises:
            InputError: it does not.
        """
        if self.config.encoder is not None:
            SpeciesModel(self.model_config, 1).load_encoder(self._encoder(None)[0])
        if self.config.start is not None:
            begun, path = self._start(None)[0], self.config.path(self.config.start)
            shared = finetune_data.shared(begun.species, self.table.species)
            if not len(shared[0]):
                raise InputError(f"start: {path} knows none of the {len(self.table.species)} species of the surveys")
            say(f"  starts from {path}, which knows {len(shared[0])} of the {len(self.table.species)} species")
            SpeciesModel(self.model_config, len(self.table.species)).start_from(begun.model, shared)

    def fit(self, fold: int | None) -> Fit:
        """Train with one fold held out; with None, without the `validation` and `calibrate` blocks."""
        split = self.table.split(fold, keep_some=True)
        chosen = varies(self.table.labels, split.validation)
        return Fit(
            **self._common(fold, split),
            validate=lambda objective, ranks: self._validate(objective, split.validation, ranks),
            best_by=self.config.goal if chosen else None,
            patience=self.config.patience,
            save=lambda trained: self._save(trained, fold, split),
        )

    def fit_rows(self, fold: int, rows: np.ndarray) -> Fit:
        """Train on some surveys with one fold held out, for as long as configured; nothing is kept."""
        none = rows[:0]
        return Fit(
            **self._common(fold, finetune_data.Split(rows, none, none)),
            validate=lambda objective, ranks: {},
            save=lambda trained: None,
        )

    def refit(self) -> Fit:
        """Train on everything, for as long as was best in the folds; calibrated as they were."""
        split = self.table.split(None)
        folds = [load_weights(self.folder(fold)) for fold in range(self.config.blocks.folds)]
        epochs = round(float(np.median([each.metrics["best_epoch"] for each in folds])))
        calibrated = mean_of([Calibration.of_state(each.state) for each in folds])
        return Fit(
            **self._common(None, split),
            stop_after=max(1, epochs),
            validate=lambda objective, ranks: {},
            save=lambda trained: self._save(trained, None, split, calibrated),
        )

    def _common(self, fold: int | None, split: finetune_data.Split) -> dict[str, Any]:
        config, optim = self.config, self.config.optim
        dataset, finish = frozen_location_features(config, self.table.dataset, split.train, self.grow)
        steps = optim.steps_per_epoch or max(1, round(len(split.train) / optim.batch))
        return {
            "name": "all" if fold is None else f"fold-{fold}",
            "seed": config.seed,
            "optim": optim,
            "steps_per_epoch": steps if config.probe is None else 0,
            "streams": {SURVEYS: self._stream(dataset), **self._background(fold)},
            "objective": lambda: self._objective(fold, split),
            "finish": finish,
        }

    def _stream(self, dataset: SurveyDataset) -> Stream:
        config = self.config
        return Stream.of(dataset, config.seed, config.optim.batch, config.mixing, config.workers.readers)

    def _background(self, fold: int | None) -> dict[str, Stream]:
        dataset = self.table.around(fold)
        return {} if dataset is None else {BACKGROUND: self._stream(dataset)}

    def _objective(self, fold: int | None, split: finetune_data.Split) -> PresenceLoss:
        model = SpeciesModel(self.model_config, len(self.table.species))
        present, absent = self.table.dataset.labels.counts(split.train)
        setting = Setting(self.config.presence, self.config.optim.batch)
        if self.config.presence.balance == "equal":
            setting = replace(setting, weight=balanced(present, absent, len(split.train)))
            present = absent = np.ones_like(present)
        model.set_prevalence(torch.from_numpy(present / np.maximum(present + absent, 1)).float())
        covariates = self.table.covariates
        model.set_covariate_statistics(torch.tensor(covariates.mean), torch.tensor(covariates.std))
        series = {name: series_statistics(each, split.train) for name, each in self.table.dataset.series.items()}
        model.set_series_statistics(
            {name: (torch.from_numpy(m), torch.from_numpy(s)) for name, (m, s) in series.items()}
        )
        if self.config.encoder is not None:
            model.load_encoder(self._encoder(fold)[0])
            if self.config.freeze:
                taken = {"location", *self.model_config.towers}
                for name, parameter in model.named_parameters():
                    parameter.requires_grad_(name.partition(".")[0] not in taken)
        if self.config.start is not None:
            begun = self._start(fold)[0]
            model.start_from(begun.model, finetune_data.shared(begun.species, self.table.species))
        return PresenceLoss(model, setting)

    def _start(self, fold: int | None) -> tuple[LoadedModel, Pretraining]:
        """The model to start from for a fold, and whether it, or what it began from, saw the fold's blocks."""
        assert self.config.start is not None
        path = self.config.path(self.config.start)
        if fold is not None and is_whole(path / "folds" / str(fold)):
            own = load_species_model(path, fold)
            if own.blocks == self.config.blocks and own.about.countries == (self.config.countries is not None):
                return own, "transductive" if own.about.pretraining == "transductive" else "inductive"
        return load_species_model(path), "transductive"

    def _encoder(self, fold: int | None) -> tuple[dict[str, torch.Tensor], Pretraining]:
        """The encoder's weights for a fold, and whether they saw the fold's blocks."""
        assert self.config.encoder is not None
        path = self.config.path(self.config.encoder)
        if fold is not None and is_whole(path / "folds" / str(fold)):
            own = load_encoder(path, fold)
            if own.blocks == self.config.blocks and self.config.countries is None:
                return own.state, "inductive"
        return load_encoder(path).state, "transductive"

    def _validate(self, objective: PresenceLoss, rows: np.ndarray, ranks: Ranks) -> dict[str, float]:
        if len(rows) == 0:
            return {}
        logits = finetune_data.predict(objective.model, self.table.dataset, rows, ranks)
        classes = self.config.model.output == "class"
        return finetune_data.scores(logits, self.table.labels.dense(rows), classes=classes)

    def _save(
        self,
        trained: Trained,
        fold: int | None,
        split: finetune_data.Split,
        calibrated: Calibration | None = None,
    ) -> None:
        model = trained.objective.model
        model.set_calibration(calibrated or self._calibration(model, split.calibrate))
        about = self.about(fold)
        best = trained.history[trained.best_epoch - 1] if trained.history else {}
        finished = model.forest is not None or self.config.probe is not None
        metrics = {
            **{name: value for name, value in best.items() if name != "loss"},
            **(self._validate(trained.objective, split.validation, _alone(model)) if finished else {}),
            "best_epoch": trained.best_epoch,
            "transductive": about.pretraining == "transductive",
            "surveys": {
                "train": len(split.train),
                "validation": len(split.validation),
                "calibrate": len(split.calibrate),
            },
            "history": trained.history,
        }
        save_weights(self.folder(fold), model.state_dict(), describe_species(about), self.table.species, metrics)

    def _calibration(self, model: SpeciesModel, rows: np.ndarray) -> Calibration:
        classes = self.config.model.output == "class"
        kind = self.config.calibration or ("temperature" if classes else "platt")
        logits = finetune_data.predict(model, self.table.dataset, rows, _alone(model))
        return calibration.fit(kind, logits, self.table.labels.dense(rows), classes=classes)

    def about(self, fold: int | None) -> SpeciesFolder:
        """What a model's folder says of itself."""
        images = self.table.dataset.images
        return SpeciesFolder(
            config=self.model_config,
            species=self.table.species,
            probability_kind=self.table.probability_kind,
            blocks=self.config.blocks,
            fold=fold,
            folds=self.config.blocks.folds if self.config.crossfit and fold is None else 0,
            countries=self.config.countries is not None,
            satellite=None if images is None else Imagery(images.bands, images.size, images.season),
            photos={scale: Photos(each.size, each.within_m) for scale, each in self.config.images.items()},
            pretraining=self._pretraining(fold),
            region=extent_of(self.table.x, self.table.y),
        )

    def _pretraining(self, fold: int | None) -> Pretraining:
        if self.config.start is not None:
            return self._start(fold)[1]
        return "none" if self.config.encoder is None else self._encoder(fold)[1]

    def figures(self, job: Job) -> dict[str, Any]:
        """Figures of the job: means over the folds; logs the model folder."""
        found = [load_weights(self.folder(fold)).metrics for fold in self.folds]
        columns = {"lon": True, "lat": True} | dict.fromkeys(self.table.covariates.names, False)
        job.tracker.model(self.folder(None), "sdm_ray.predictor", columns, job.output.name)
        figures = {
            f"validation_{name}": float(np.mean([each[name] for each in found]))
            for name in ("auc", "bce", "accuracy")
            if all(name in each for each in found)
        }
        figures |= {"epochs": load_weights(self.folder(None)).metrics["best_epoch"], "fold_models": len(found)}
        if self.config.encoder is not None or self.config.start is not None:
            figures["transductive"] = any(each["transductive"] for each in found)
        say("  on the `validation` blocks: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        return figures


def _alone(model: nn.Module) -> Ranks:
    """This process by itself, on the model's device."""
    return Ranks(device=str(next(model.parameters()).device))
