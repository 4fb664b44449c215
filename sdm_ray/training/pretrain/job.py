"""The job `pretrain`: an encoder for each fold if cross-fitted, and one trained on everything."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role
from sdm_ray.geo.grid import Extent
from sdm_ray.job import Job
from sdm_ray.metrics.retrieval import EMBED_ROWS, embed, matching
from sdm_ray.model_io import LoadedEncoder, describe_encoder, load_encoder
from sdm_ray.models.augment import Augmentation
from sdm_ray.models.config import AlignConfig
from sdm_ray.models.contrastive_model import COVARIATES, DENSE, SPECIES, AlignmentModel
from sdm_ray.models.distributed import Ranks
from sdm_ray.plots.embedding import embedding_picture
from sdm_ray.progress import say
from sdm_ray.stores.weights import is_whole, load_weights, save_weights
from sdm_ray.streams.dataset import Dataset
from sdm_ray.streams.loader import Stream, in_order
from sdm_ray.streams.reader_tasks import ReaderTasks
from sdm_ray.training.engine.execution import tensors
from sdm_ray.training.engine.launch import launch
from sdm_ray.training.engine.readers_choice import reader_tasks, with_readers
from sdm_ray.training.engine.trainer import Fit, Trained
from sdm_ray.training.pretrain.config import PretrainConfig
from sdm_ray.training.pretrain.data import Source, read_sources
from sdm_ray.training.pretrain.objective import AlignmentLoss

_MANY = 1 << 24  # pairs


def run(config: PretrainConfig, job: Job) -> dict[str, Any]:
    """Pretrain and return the figures.

    Raises:
        InputError: images or covariates cannot be used.
    """
    config = with_readers(config, config.workers, config.image_places())
    study = Study(config, read_sources(config), str(job.output))
    study.model()
    launch(study, job, config.workers)
    return study.figures(job)


@dataclass(frozen=True)
class Study:
    """All fits of a job; picklable.

    Attributes:
        config: the job's configuration.
        sources: pairs by modality.
        output: the encoder folder.
    """

    config: PretrainConfig
    sources: dict[str, Source]
    output: str

    def __call__(self, ranks: Ranks) -> Iterator[Fit]:
        """The fits that are not finished; rank 0 alone looks at the store."""
        folds = [*(range(self.config.blocks.folds) if self.config.crossfit else []), None]
        for fold in folds:
            if not ranks.first(partial(is_whole, self.folder(fold))):
                yield self.fit(fold)

    def folder(self, fold: int | None) -> UPath:
        """The folder of a fit's encoder."""
        return UPath(self.output) if fold is None else UPath(self.output) / "folds" / str(fold)

    def fit(self, fold: int | None) -> Fit:
        """Train with one fold held out, or on everything."""
        streams, held_out = {}, {}
        for number, (name, source) in enumerate(self.sources.items()):
            train, validation = self._parts(name, source, fold)
            streams[name] = self._stream(name, train.dataset, self.config.seed * 64 + number)
            held_out[name] = self._candidates(validation)
        optim = self.config.optim
        pairs = {each.name for each in self.config.cross_scale_pairs}
        longest = max(round(each.sampler.n / each.batch) for name, each in streams.items() if name not in pairs)
        return Fit(
            name="all" if fold is None else f"fold-{fold}",
            seed=self.config.seed,
            optim=optim,
            steps_per_epoch=optim.steps_per_epoch or max(1, longest),
            streams=streams,
            objective=self._objective,
            validate=lambda objective, ranks: self._validate(objective, held_out, ranks),
            save=lambda trained: self._save(trained, fold),
            reported=("loss", "top5", "error_km"),
            prepare=lambda objective, share: objective.model.location.at(share),
        )

    def model(self) -> AlignmentModel:
        """A new model.

        Raises:
            InputError: a tower cannot be built.
        """
        covariates, dense, species = (self.sources.get(name) for name in (COVARIATES, DENSE, SPECIES))
        objective = self.config.objective
        model = AlignmentModel(
            AlignConfig(
                location=self.config.location,
                towers={scale: each.tower for scale, each in self.config.scales.items()},
                covariates=covariates.columns.names if covariates and covariates.columns else (),
                species=species.species if species else 0,
                dense=len(dense.columns.mean) if dense and dense.columns else 0,
                cross_scale_pairs=tuple(each.scales for each in self.config.cross_scale_pairs),
                dim=self.config.dim,
                temperature=objective.start_temperature,
                bias=objective.bias if objective.loss == "sigmoid" else None,
            )
        )
        if covariates and covariates.columns:
            model.covariates.standard.set(*covariates.columns.statistics)
        if dense and dense.columns:
            model.dense.standard.set(*dense.columns.statistics)
        return model

    def _objective(self) -> AlignmentLoss:
        objective = self.config.objective
        augment = {
            str(name): Augmentation(scale.augment == "dihedral", scale.jitter, scale.band_dropout)
            for name, scale in self.config.scales.items()
        }
        radii = dict.fromkeys(self.sources, objective.radius_m)
        # Places that are twice a radius apart have no image of the other scale in common.
        radii |= {each.name: max(objective.radius_m, 2 * each.radius_m) for each in self.config.cross_scale_pairs}
        batch_rows = {name: self._batch(name) for name in self.sources}
        return AlignmentLoss(self.model(), self._weights(), objective.loss, radii, augment, batch_rows)

    def _stream(self, name: str, dataset: Dataset, seed: int) -> Stream:
        return Stream.of(dataset, seed, self._batch(name), self.config.mixing, self._readers)

    @property
    def _readers(self) -> ReaderTasks:
        return reader_tasks(self.config.workers, len(self.config.image_places()))

    def _batch(self, name: str) -> int:
        own = {scale: each.batch for scale, each in self.config.scales.items()}
        own |= {each.name: each.batch for each in self.config.cross_scale_pairs}  # type: ignore[misc]
        return own.get(name) or self.config.optim.batch  # type: ignore[call-overload]

    def _weights(self) -> dict[str, float]:
        weights: dict[str, float] = {name: each.weight for name, each in self.config.scales.items()}
        weights |= {each.name: each.weight for each in self.config.cross_scale_pairs}
        weights |= {name: self.config.objective.weights.get(name, 1.0) for name in (COVARIATES, DENSE, SPECIES)}  # type: ignore[call-overload]
        return {name: weights[name] for name in self.sources}

    def _parts(self, name: str, source: Source, fold: int | None) -> tuple[Source, Source]:
        """Pairs to train on and pairs to validate on; both images of a pair lie in such blocks."""
        everything = fold is None and self.config.crossfit

        def trained(roles: np.ndarray) -> np.ndarray:
            if fold is not None:
                return np.asarray(roles == Role.TRAIN)
            return np.ones_like(roles, bool) if everything else np.asarray(roles != Role.VALIDATION)

        def validated(roles: np.ndarray) -> np.ndarray:
            return np.zeros_like(roles, bool) if everything else np.asarray(roles == Role.VALIDATION)

        train, validation = (source.where(each, self.config.blocks, fold or 0) for each in (trained, validated))
        if len(train) < 2:
            raise InputError(
                f"blocks.size_m: {name} has {len(train)} pairs left to train on; expected smaller blocks or more pairs"
            )
        return train, validation

    def _candidates(self, validation: Source) -> Source:
        """A fixed random sample of pairs for retrieval figures."""
        rng = np.random.default_rng([self.config.seed, 1])
        count, most = len(validation), self.config.candidates
        # Of very many a permutation would not fit in memory
        rows = rng.permutation(count)[:most] if count < _MANY else rng.choice(count, most, replace=False)
        return validation.subset(np.sort(rows), plain=True)

    def _validate(self, objective: AlignmentLoss, held_out: dict[str, Source], ranks: Ranks) -> dict[str, float]:
        figures: dict[str, float] = {}
        for name, source in held_out.items():
            count = len(source)
            if name == DENSE and count > 0:
                batch = tensors(source.dataset.read(np.arange(count), np.zeros(count, np.int64)), ranks)
                figures["dense_error"] = float(objective.model({DENSE: batch})[1])
            elif count > 1:
                share = ranks.share(count)
                own_rows = source.dataset.subset(np.arange(share.start, share.stop))
                own = embed(objective.model, name, in_order(own_rows, EMBED_ROWS, self._readers))
                other, location = (ranks.rows(each) for each in own)
                found = matching(other, location, source.xy())
                figures |= {f"{name}_{key}": value for key, value in found.items()}
                figures[f"{name}_candidates"] = count
        return figures

    def _extent(self) -> Extent:
        """Of the places of all modalities, EPSG:3035 metres."""
        west, south, east, north = zip(*(source.extent for source in self.sources.values()), strict=True)
        return min(west), min(south), max(east), max(north)

    def _save(self, trained: Trained, fold: int | None) -> None:
        model = trained.objective.model
        images = {name: source.images for name, source in self.sources.items() if source.images is not None}
        encoder = LoadedEncoder(model.state_dict(), model.config, images, self.config.blocks, fold, self._extent())
        last = {name: value for name, value in trained.history[-1].items() if name != "loss"}
        metrics = {**last, "history": trained.history}
        save_weights(self.folder(fold), encoder.state, describe_encoder(encoder), None, metrics)

    def figures(self, job: Job) -> dict[str, Any]:
        """Figures on held-out blocks: means over the folds, or of the one encoder; logs the encoder folder."""
        folds = range(self.config.blocks.folds) if self.config.crossfit else [None]
        found = [load_weights(self.folder(fold)).metrics for fold in folds]
        job.tracker.folder(self.folder(None), "encoder")
        picture = job.output / "embedding.png"
        picture.write_bytes(embedding_picture(load_encoder(self.folder(None)).model(), self._extent()))
        job.tracker.picture(picture)
        names = [name for name in found[0] if name != "history" and all(name in each for each in found)]
        figures = {name: float(np.mean([each[name] for each in found])) for name in names}
        for name in self.sources:
            if f"{name}_top5" in figures:
                say(
                    f"  {name}: top-1 {figures[f'{name}_top1']:.2f}, top-5 {figures[f'{name}_top5']:.2f} among "
                    f"{figures[f'{name}_candidates']:.0f}, median error {figures[f'{name}_error_km']:.0f} km"
                )
        return figures
