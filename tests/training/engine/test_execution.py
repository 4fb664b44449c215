"""How steps are carried out: it changes what a step costs, and no result beyond rounding."""

import json

import numpy as np
import pytest
import torch
from helpers import toy
from upath import UPath

from sdm_ray.batch import Batch
from sdm_ray.errors import InputError
from sdm_ray.models.distributed import ALONE, Ranks
from sdm_ray.training.engine import execution, trainer
from sdm_ray.training.engine.checkpointing import FolderCheckpointer, NoCheckpointer
from sdm_ray.training.engine.config import WorkersConfig
from sdm_ray.training.engine.execution import Execution, one_ahead, parts
from sdm_ray.training.engine.reporting import Reporter


def train(folder, how, **settings):
    folder.mkdir()
    one = toy.Toy(str(folder), **settings)
    (fit,) = one()
    trained = trainer.run(fit, ALONE, NoCheckpointer(), Reporter(), how)
    fit.save(trained)
    return one, trained.history


def test_looking_seldom_or_in_parts_changes_no_result(tmp_path):
    once, history = train(tmp_path / "once", Execution(), steps_per_epoch=5)
    seldom, same = train(tmp_path / "seldom", Execution(check_steps=3), steps_per_epoch=5)
    assert history == same
    assert all(torch.equal(value, seldom.weights()[name]) for name, value in once.weights().items())
    cut, _ = train(tmp_path / "cut", Execution(accumulate=5), steps_per_epoch=5)
    for name, value in once.weights().items():
        assert torch.allclose(value, cut.weights()[name], atol=1e-5)


def test_a_loss_that_is_no_number_names_its_step_and_rows_however_late_it_is_seen(tmp_path):
    with pytest.raises(InputError, match=r"toy: the loss at step 1 is nan; points: `y` is not finite at places 7$"):
        train(tmp_path / "toy", Execution(check_steps=4), bad=7)


def test_nothing_is_kept_of_a_loss_that_is_no_number(tmp_path):
    checkpointer = FolderCheckpointer(UPath(tmp_path / "kept"), every_s=0)
    (fit,) = toy.Toy(str(tmp_path), bad=7)()
    with pytest.raises(InputError):
        trainer.run(fit, ALONE, checkpointer, Reporter(), Execution(check_steps=4))
    assert checkpointer.load("toy") is None


def test_a_trace_of_some_steps_is_written(tmp_path):
    file = tmp_path / "traces" / "toy.json"
    train(tmp_path / "toy", Execution(profile=str(file), profile_steps=2), steps_per_epoch=8, epochs=1)
    names = {event.get("name") for event in json.loads(file.read_text())["traceEvents"]}
    assert "aten::addmm" in names or "aten::linear" in names
    other = Execution(profile=str(tmp_path / "none.json"), profile_steps=2).profiler(rank=1)
    for _ in range(9):
        other.step()
    other.close()
    assert not (tmp_path / "none.json").exists()


def test_parts_are_all_rows_once():
    batch = {"points": Batch({"x": np.arange(7), "y": np.arange(14).reshape(7, 2)})}
    cut = list(parts(batch, 3))
    assert [len(each["points"]["x"]) for each in cut] == [3, 2, 2]
    for name, values in batch["points"].items():
        np.testing.assert_array_equal(np.concatenate([each["points"][name] for each in cut]), values)
    assert next(parts(batch, 1)) is batch


def test_batches_reach_a_cpu_one_by_one():
    moved = []
    pairs = one_ahead(iter([1, 2]), lambda item: moved.append(item) or -item, "cpu")
    assert next(pairs) == (1, -1) and moved == [1] and list(pairs) == [(2, -2)]


def test_ranks_that_have_their_share_need_not_ask_for_numbers():
    assert Ranks(rank=1, world=4).counts(3, batch_rows=10) == [2, 3, 2, 3]
    with pytest.raises(ValueError, match="2 rows on rank 1, expected 3 of 10"):
        Ranks(rank=1, world=4).counts(2, batch_rows=10)
    assert ALONE.counts(5, batch_rows=10) == [5]


def test_settings_are_those_of_the_workers():
    found = Execution.of(WorkersConfig(compile=True, accumulate=4, tf32=True, channels_last=True), "trace.json")
    assert found == Execution(compiled=True, accumulate=4, tf32=True, channels_last=True)
    assert Execution.of(WorkersConfig(profile_steps=5), "trace.json").profile == "trace.json"
    assert Execution().checks(7, "cpu") and not Execution().checks(7, "cuda:0") and Execution().checks(32, "cuda:0")


@pytest.mark.parametrize(("granted", "expected"), [(1, 1), (8, 2)])
def test_training_takes_no_more_threads_than_the_process_has_cores(tmp_path, monkeypatch, granted, expected):
    """As in a pod with a quota, where torch counts the cores of the machine; it is never given more than it had."""
    monkeypatch.setattr(execution, "usable_cores", lambda: granted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(tmp_path / "toy", Execution(), epochs=1)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
