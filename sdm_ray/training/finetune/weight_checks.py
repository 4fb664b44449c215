"""Whether what a fit starts from suits it, found out before anything is trained."""

from typing import Any

from upath import UPath

from sdm_ray.errors import InputError, few
from sdm_ray.model_io import SpeciesFolder
from sdm_ray.models import weight_transfer
from sdm_ray.models.config import SpeciesConfig
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.progress import say
from sdm_ray.stores.embedding_sources import require_same
from sdm_ray.training.finetune import initial_weights
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import Table

_LENGTH = 200  # characters of a setting that a message shows


def check_weights(config: FinetuneConfig, model: SpeciesConfig, table: Table) -> None:
    """Find out on the driver whether the encoder, or the model to start from, fits.

    Args:
        config: of the job.
        model: what the models are built from.
        table: the surveys.

    Raises:
        InputError: it does not.
    """
    if config.encoder is not None:
        weight_transfer.load_encoder(SpeciesModel(model, 1), initial_weights.encoder_of(config, None)[0])
    if config.start is not None:
        begun, path, species = initial_weights.start_of(config, None)[0], config.path(config.start), table.species
        _check_inputs(path, begun.about, model, table)
        common = initial_weights.shared(begun.species, species)
        if not len(common[0]):
            raise InputError(f"start: {path} has none of the {len(species)} species of the surveys")
        say(f"  starts from {path}, which has {len(common[0])} of the {len(species)} species")
        weight_transfer.start_from(SpeciesModel(model, len(species)), begun.model, common)


def _check_inputs(path: UPath, begun: SpeciesFolder, model: SpeciesConfig, table: Table) -> None:
    """Refuse a model whose inputs mean something else, though they may have the same shapes."""
    if begun.config.nearby_images is not None:
        raise InputError(
            f"start: {path} keeps the images around its own surveys; expected a model without `nearby_images`"
        )
    windows = table.dataset.images
    pairs: dict[str, tuple[Any, ...]] = {
        "covariates": (begun.config.covariates, model.covariates),
        "bands of the cube": (
            () if begun.satellite is None else begun.satellite.bands,
            windows.bands if windows else (),
        ),
        "series": (_axes(begun.config), _axes(model)),
        "model.frozen_location_features": tuple(
            [each.model_copy(update={"weights": None}) for each in of.frozen_location_features]
            for of in (begun.config, model)
        ),
        "model.output": (begun.config.output, model.output),
    }
    for name, (theirs, own) in pairs.items():
        if theirs != own:
            raise InputError(
                f"start: {path} has the {name} {_shown(theirs)}, found {_shown(own)} here; expected the same, in the"
                " same order"
            )
    require_same(begun.embeddings, table.covariates.embeddings, "covariates", f", as {path} was trained on")


def _axes(model: SpeciesConfig) -> dict[str, dict[str, list[str]]]:
    """Coordinates of the axes of each series."""
    series = {} if model.series is None else model.series.axes
    return {name: {axis: list(map(str, each)) for axis, each in axes.items()} for name, axes in series.items()}


def _shown(found: Any) -> str:  # noqa: ANN401 - of a configuration
    text = few(list(map(str, found)), 12) if isinstance(found, tuple | list) else str(found or "")
    return (text if len(text) <= _LENGTH else f"{text[:_LENGTH]}...") or "none"
