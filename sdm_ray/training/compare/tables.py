"""The surveys that all ways share: read for each method, held out by the same blocks, tested and scored alike."""

import numpy as np

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role
from sdm_ray.model_io import Pretraining
from sdm_ray.progress import say
from sdm_ray.training.compare.config import CompareConfig
from sdm_ray.training.compare.few_shot import commonest
from sdm_ray.training.finetune import initial_weights
from sdm_ray.training.finetune.data import Table, read_table
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.weight_checks import check_weights


def read_tables(config: CompareConfig) -> tuple[Table, dict[str, Table]]:
    """The surveys with the covariates of `config.finetune`, and for each method those with its own inputs.

    The blocks are those of `config.finetune` for all of them: a method without its encoder would by itself be given
    others, and be trained on what is tested. Folds are never pooled: pooled ones choose the number of epochs together,
    and here each is trained by itself, so that it stops by its own `validation` surveys, however few.

    Raises:
        InputError: the data, an encoder or a model to start from cannot be used.
    """
    base, tables = read_table(config.candidate({}).model_copy(update={"pooled": False})), {}
    for label in config.methods:
        own = config.method(label).model_copy(update={"pooled": False, "blocks": base.holdout.blocks})
        tables[label] = read_table(own)
        check_weights(own, FineTuning(own, tables[label], "").model_config, tables[label])
    return base, tables


def surveys_to_test(config: CompareConfig, base: Table, tables: dict[str, Table]) -> list[np.ndarray]:
    """Numbers of the surveys that every way is tested on, for each fold."""
    rows = [np.flatnonzero(base.role(fold) == Role.TEST) for fold in config.folds]
    if config.tested_with is None:
        return rows
    images = next(
        each for table in tables.values() for each in table.dataset.shards if each.scale == config.tested_with
    )
    return [some[images.counts[some] > 0] for some in rows]


def species_to_count(config: CompareConfig, table: Table, tested: list[np.ndarray]) -> np.ndarray:
    """Species that count in each fold, (folds, S): enough to test on, and to learn the most occurrences from.

    Raises:
        InputError: none does in some fold.
    """
    most = max((k for k in config.shots if k is not None), default=1)
    labels, found = table.labels, []
    rare = ~commonest(labels, config.few.n_common_species)
    for fold, rows in zip(config.folds, tested, strict=True):
        present, trained = (labels.counts(some)[0] for some in (rows, table.split(fold).train))
        counted = rare & (present >= config.min_positives) & (trained >= most)
        if not counted.any():
            besides = f" besides the {config.few.n_common_species} commonest" if config.few.n_common_species else ""
            raise InputError(
                f"{config.path(config.candidate({}).surveys)}: no species{besides} has {most} training and"
                f" {config.min_positives} test surveys in fold {fold}; expected fewer shots or min_positives"
            )
        found.append(counted)
    return np.stack(found)


def pretraining(config: CompareConfig, tables: dict[str, Table]) -> dict[str, Pretraining]:
    """Of each method whether what it starts from had seen the places that are tested, in any fold.

    With periods held out it had seen them, whatever blocks it held out.
    """
    found: dict[tuple[str | None, str | None], Pretraining] = {}
    of_methods: dict[str, Pretraining] = {}
    for label, table in tables.items():
        fits = FineTuning(config.method(label), table, "")
        begun = (fits.config.encoder, fits.config.start)
        if begun not in found:
            each = {initial_weights.pretraining_of(fits.config, fold) for fold in config.folds}
            started, periods = each != {"none"}, config.years_until is not None
            seen = "transductive" in each or (started and periods)
            found[begun] = "transductive" if seen else "inductive" if started else "none"
        of_methods[label] = found[begun]
    if seen_by := [label for label, each in of_methods.items() if each == "transductive"]:
        say(f"compare: transductive: {', '.join(seen_by)} (what they start from had seen places that are tested)")
    return of_methods
