import pytest
import torch
from helpers import toy
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.models.distributed import Ranks
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import FolderCheckpointer
from sdm_ray.training.engine.execution import Execution
from sdm_ray.training.engine.reporting import Reporter


class Interrupted(Exception):
    """The driver was killed here."""


def train(folder, checkpointer=None, stop_at=None, compiled=False, **settings):
    folder.mkdir(exist_ok=True)
    one = toy.Toy(str(folder), **settings)
    for fit in one():
        if stop_at is not None:
            stop(fit, stop_at)
        fit.save(
            trainer.run(
                fit,
                Ranks(),
                checkpointer or FolderCheckpointer(UPath(folder / "kept"), 1e9),
                Reporter(),
                Execution(compiled=compiled),
            )
        )
    return one


def stop(fit, step):
    """Let a fit's process end in its step number `step`, before the loss is computed."""
    calls = iter(range(step))
    original = fit.objective

    def before(*_):
        if next(calls, None) is None:
            raise Interrupted

    def objective():
        module = original()
        module.register_forward_pre_hook(before)
        return module

    object.__setattr__(fit, "objective", objective)


def test_a_run_stopped_in_mid_epoch_continues_bit_for_bit(tmp_path, ray_cluster):
    whole = train(tmp_path / "whole")
    checkpointer = FolderCheckpointer(UPath(tmp_path / "state"), every_s=0)
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", checkpointer, stop_at=6)
    cut = train(tmp_path / "cut", FolderCheckpointer(UPath(tmp_path / "state"), every_s=0))
    assert cut.places(1) == whole.places(1)
    assert all(torch.equal(value, cut.weights()[name]) for name, value in whole.weights().items())


def test_a_loss_that_is_no_number_names_the_rows(tmp_path, ray_cluster):
    with pytest.raises(InputError, match=r"toy: the loss at step 1 is nan; points: `y` is not finite at places 7$"):
        train(tmp_path, bad=7)


def test_the_best_epoch_is_kept_and_training_stops_after_it(tmp_path, ray_cluster):
    scores = iter([0.5, 0.7, 0.6, 0.65, 0.69, 0.9])
    seen = []

    def validate(objective, ranks):
        seen.append({name: value.clone() for name, value in objective.state_dict().items()})
        return {"score": next(scores)}

    fit = next(toy.Toy(str(tmp_path), steps_per_epoch=2, epochs=6)())
    for name, value in {"validate": validate, "best_by": "score", "patience": 3}.items():
        object.__setattr__(fit, name, value)
    trained = trainer.run(fit, Ranks(), FolderCheckpointer(UPath(tmp_path / "kept"), 1e9), Reporter())
    assert trained.best_epoch == 2 and len(trained.history) == 5
    assert all(torch.equal(value, seen[1][name]) for name, value in trained.objective.state_dict().items())


def test_the_average_of_the_weights_is_kept_and_continued(tmp_path, ray_cluster):
    plain = train(tmp_path / "plain", epochs=2)
    averaged = train(tmp_path / "averaged", epochs=2, ema=0.9)
    checkpointer = FolderCheckpointer(UPath(tmp_path / "state"), every_s=0)
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", checkpointer, stop_at=6, epochs=2, ema=0.9)
    cut = train(tmp_path / "cut", FolderCheckpointer(UPath(tmp_path / "state"), every_s=0), epochs=2, ema=0.9)
    for name, value in averaged.weights().items():
        assert torch.equal(cut.weights()[name], value)
        assert not torch.equal(plain.weights()[name], value)


@pytest.mark.parametrize("how", [{"precision": "bfloat16"}, {"compiled": True}])
def test_other_arithmetic_gives_nearly_the_same_weights(tmp_path, ray_cluster, how):
    plain = train(tmp_path / "plain", epochs=1)
    other = train(tmp_path / "other", epochs=1, **how)
    for name, value in plain.weights().items():
        assert torch.allclose(other.weights()[name], value, atol=0.03)
    assert how == {"compiled": True} or not all(torch.equal(other.weights()[n], v) for n, v in plain.weights().items())
